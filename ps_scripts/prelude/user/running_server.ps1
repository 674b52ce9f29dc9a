# ---- prelude: running_server -----------------------------------------------------------------------
# Stop the server before its programs are replaced.

function Stop-Server { Stop-Background }

# Return how the server runs, for mode status.
function Get-ServiceStatus {
    $process = Get-Background
    if ($process) {
        return @{ state = 'running'; by = 'background'; start = 'manual'; since = Format-UtcTime $process.StartTime }
    }
    if (-not (Test-Path -LiteralPath $ProcessFile)) {
        return @{ state = 'absent'; by = 'none'; start = 'none'; since = '' }
    }
    @{ state = 'stopped'; by = 'background'; start = 'manual'; since = '' }
}

function Get-ServerEnvironment { Get-EnvironmentFolder }

$AddedReported = @{}

# Return whether what runs in a notebook can install packages into the environment.
function Test-NotebookInstall { $true }

function Write-AddedFile([string[]]$Paths) { $null = $Paths }
