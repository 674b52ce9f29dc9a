# ---- prelude: restarted_server ---------------------------------------------------------------------
# Start the background process again.

function Test-ServiceRecord { Test-Record 'process' $ProcessFile }

function Test-ServerAlive { Test-ServerRunning }

function Test-CurrentServer { Test-Background (Get-ServerText) }

# The host always creates the certificate itself.
function Test-OwnCertificate { $true }

function Restart-Server { Start-BackgroundServer }

# The second line of the file has the command that the process was started with.
function Assert-CanRestart {
    $line = [IO.File]::ReadAllLines($ProcessFile, $Utf8) | Select-Object -Skip 1 -First 1
    $should = (Get-ServerText).Split([char[]]"`n")[0]
    if (-not [string]::Equals($line, $should)) {
        throw (New-Failure server-other-command ('the current settings start the server with a different command ' +
                'than before. Run nbserver apply instead'))
    }
}
