# ---- prelude: running_server -----------------------------------------------------------------------
# Stop the server before its programs are replaced.

function Stop-Server { Stop-Background }

# What runs in a notebook may install packages into the environment.
function Write-AddedFile([string[]]$Paths) { $null = $Paths }
