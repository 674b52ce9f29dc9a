# ---- prelude: server_life --------------------------------------------------------------------------
# Restart or stop the installed server: modes restart and stop.

# The server starts as it is installed. What differs from the settings stays as it is until the next apply.

# Mode restart, which also starts a server that was stopped.
function Invoke-Restart {
    Assert-Installed
    Assert-MayStart
    Write-RestartStart
    Restart-Server
    Write-ChangeEnd
    Assert-ServerProven
}

function Write-RestartStart {
    Reset-Difference 'service'
    if (Test-ServerRunning) { Add-Difference server-restarts 'the notebook server' 'running' 'restarted' }
    else { Add-Difference server-starts 'the notebook server' 'stopped' 'running' }
    Write-ChangeStart
}

# Mode stop. The server stays stopped when Windows restarts, until a restart or an apply.
function Invoke-Stop {
    Assert-Installed
    Reset-Difference 'service'
    if (Test-ServerAlive) { Add-Difference server-stops 'the notebook server' 'running' 'stopped' }
    elseif ((Get-ServiceStatus).start -eq 'automatic') {
        Add-Difference server-stays-stopped 'the notebook server' `
            'set to start with the system' 'not set to start with the system'
    }
    else { Write-Event unchanged; return }
    Write-ChangeStart
    Stop-Server
    Write-ChangeEnd
    if (Test-ServerAlive) {
        throw (New-Failure server-not-stopped-windows ('the notebook server is running, although nbserver has just ' +
                'stopped it. Find out what starts it, then try again'))
    }
}

function Reset-Difference([string]$Name) {
    $Run.Step = $Name
    $Run.Differences = New-Object Collections.ArrayList
}

function Assert-Installed {
    $Run.Step = 'service'
    if ((Test-ServiceRecord) -and (Get-ServiceStatus).state -ne 'absent') { return }
    throw (New-Failure server-not-installed ('this host has no notebook server managed by nbserver. Run nbserver ' +
            'apply first'))
}

function Assert-MayStart {
    Assert-NoOpenRotation
    Assert-HasCertificate
    $Run.Step = 'service'
    Assert-CanRestart
}

# After an incomplete rotation, earlier users could still log in to a server that starts.
function Assert-NoOpenRotation {
    Read-Rotation
    if ($Former.Run) {
        throw (New-Failure rotation-incomplete-start ('nbserver rotate was interrupted (run {run}), so earlier users ' +
                'could still log in if the server started. Run nbserver rotate again') @{ run = $Former.Run })
    }
}

function Assert-HasCertificate {
    $Run.Step = 'certificate'
    $certificate = Get-ServerCertificate
    if (-not $certificate) {
        throw (New-Failure server-without-certificate ('the server has no valid certificate, so it cannot start. Run ' +
                'nbserver apply instead'))
    }
    $Run.Fingerprint = Get-Fingerprint $certificate
}

# A change of this part is for the differences that were found. The step's own Test is about the settings.
function Write-ChangeStart {
    $step = $Steps | Where-Object { $_.Name -eq $Run.Step }
    Write-Event started @{ title = $step.Title }
    Write-Difference
    Assert-EventsKept
}

function Write-ChangeEnd {
    $Run.Changed++
    Write-Event changed
}

# Wait until the server shows the installed certificate and refuses requests without the password.
function Assert-ServerProven {
    Reset-Difference 'check'
    Add-Difference server-proven 'certificate on TCP port {port}' $null $Run.Fingerprint @{
        port = $Settings.notebook.port
    }
    Invoke-Change ($Steps | Where-Object { $_.Name -eq 'check' })
}

$Modes.restart = { Invoke-Restart }
$Modes.stop = { Invoke-Stop }
$ChangingModes += 'restart', 'stop'
