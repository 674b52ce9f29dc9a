# ---- prelude: running_server -----------------------------------------------------------------------
# Stop the server before its programs are replaced.

function Stop-Server { Stop-Background }

# The server of a user does not start with Windows.
function Wait-YoungServer { }

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

# Return the environment from which the server was started; before its first start, the one that these settings choose.
function Get-ServerEnvironment {
    $program = Get-ServerProgram
    if ($program) { return Get-EnvironmentOf $program }
    Get-EnvironmentFolder
}

# Return the program of the process, as the second line of its file has it; '' if there is no process.
function Get-ServerProgram {
    if (-not (Test-Path -LiteralPath $ProcessFile)) { return '' }
    $line = [string]([IO.File]::ReadAllLines($ProcessFile, $Utf8) | Select-Object -Skip 1 -First 1)
    if ($line -cmatch '\A(.+?\\Scripts\\python\.exe) ') { return $Matches[1] }
    ''
}

$AddedReported = @{}

# Return whether what runs in a notebook can install packages into the environment.
function Test-NotebookInstall { $true }

function Write-AddedFile([string]$Folder, [string[]]$Paths) { $null = $Folder, $Paths }
