# ---- prelude: server_command -----------------------------------------------------------------------
# Define the command line of the server, and what it was started with.

# Return the times of the files that the server reads when it starts. They are in the description of the task, so a
# server that was started before a change is noticed and started again. Nothing secret is derived from these files.
function Get-ServiceState {
    $times = foreach ($file in $ConfigurationFile, $StarterFile, $CertificateFile, (Get-LockMark)) {
        if (-not (Test-Path -LiteralPath $file)) { 'none' }
        else { (Get-Item -LiteralPath $file).LastWriteTimeUtc.ToString('u') }
    }
    "nbserver: secured notebook server. Files of $($times -join ', ')"
}

function Get-ServerArgument { '-I', $StarterFile, $ConfigurationFile, $WorkFolder, $ServerLog }

function Format-ServerArgument {
    @(Get-ServerArgument | ForEach-Object { Format-Argument $_ }) -join ' '
}
