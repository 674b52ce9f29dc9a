# ---- prelude: restarted_server ---------------------------------------------------------------------
# Start the background process again.

function Test-ServiceRecord { Test-Record 'process' $ProcessFile }

function Test-ServerAlive { Test-ServerRunning }

function Test-CurrentServer { Test-Background (Get-ServerText) }

# The host always creates the certificate itself.
function Test-OwnCertificate { $true }

function Restart-Server { Start-BackgroundServer (Get-EnvironmentProgram 'python.exe') (Get-ServerText) }

# Keep the command of the process for a way back.
function Save-Service([string]$Folder) { Copy-File $ProcessFile (Join-Path $Folder 'process') }

# Return whether the process is the one whose file was saved.
function Test-SavedService([string]$Folder) {
    $saved = [IO.File]::ReadAllText((Join-Path $Folder 'process'), $Utf8)
    [string]::Equals([IO.File]::ReadAllText($ProcessFile, $Utf8), $saved)
}

# The first line of the file is about a process that does not run any more.
function Start-SavedService([string]$Folder, [string]$Python) {
    $lines = @([IO.File]::ReadAllLines((Join-Path $Folder 'process'), $Utf8) | Select-Object -Skip 1)
    Start-BackgroundServer $Python (($lines -join "`n") + "`n")
}

# The second line of the file has the command that the process was started with.
function Assert-CanRestart {
    $line = [IO.File]::ReadAllLines($ProcessFile, $Utf8) | Select-Object -Skip 1 -First 1
    $should = (Get-ServerText).Split([char[]]"`n")[0]
    if (-not [string]::Equals($line, $should)) {
        throw (New-Failure server-other-command ('the current settings start the server with a different command ' +
                'than before. Run nbserver apply instead'))
    }
}
