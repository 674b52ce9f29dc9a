# ---- step: service ---------------------------------------------------------------------------------
# Run the server as a background process.

# The process runs until the user logs off (prelude/processes).

function Test-ServerRunning { [bool](Get-Background) }

function Get-ServerText {
    "$(Get-EnvironmentProgram 'python.exe') $(Format-ServerArgument)`n$(Get-ServiceState)`n"
}

function Compare-BackgroundServer {
    if (-not (Test-ServerRunning)) {
        Add-Difference server 'the notebook server' 'not running' 'running in the background'
    }
    elseif (-not (Test-Background (Get-ServerText))) {
        Add-Difference server 'the notebook server' 'not restarted since the last change' 'restarted'
    }
}

# Return the PATH that Windows gives to a program that this user starts. That of this run has only folders of Windows.
function Get-UserPath {
    $paths = foreach ($target in 'Machine', 'User') { [Environment]::GetEnvironmentVariable('Path', $target) }
    @($paths | Where-Object { $_ }) -join ';'
}

# The user's variables for other servers and Pythons are removed from the environment of this run only. Notebooks find
# the user's programs, such as git.
function Start-BackgroundServer([string]$Python, [string]$Text) {
    foreach ($name in @([Environment]::GetEnvironmentVariables().Keys)) {
        if ($name.ToUpperInvariant() -cmatch '^(JUPYTER|IPYTHON|PYTHON)') {
            [Environment]::SetEnvironmentVariable($name, $null)
        }
    }
    [Environment]::SetEnvironmentVariable('Path', (Get-UserPath))
    foreach ($file in $ServerLog, "$ServerLog.before") { Save-FileBefore $file }
    Start-Background $Python (Get-ServerArgument) $WorkFolder $Text
}

# Return the failure of a server that answers requests without the password. $Values are those of the text.
function New-OpenServerFailure([hashtable]$Values) {
    New-Failure server-open-as-user ('the notebook server on TCP port {port} did not refuse a request without the ' +
        'password (expected HTTP status 401 or 403, got {status}), so others may be able to run programs under your ' +
        'account. Stop the server (nbserver stop local) and read its log ({log}). Remove {folder} if someone added ' +
        'files to it, then run nbserver apply again') $Values
}

Add-Step service 'The notebook server is running' -Test { Compare-BackgroundServer } -Apply {
    Start-BackgroundServer (Get-EnvironmentProgram 'python.exe') (Get-ServerText)
}
