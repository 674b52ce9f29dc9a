# ---- prelude: reboots ------------------------------------------------------------------------------
# Restart Windows when a change needs it, or report why it is not restarted.

# If Windows waits for a reboot ($Run.Reboot), nothing more is changed before it has restarted: the run stops. With
# reboot = "if-needed", the script restarts Windows if the workstation will continue the run afterwards.

$BootFormat = "yyyy-MM-dd'T'HH:mm:ss'Z'"

# Return when Windows started, in UTC; empty if it does not report it.
function Get-BootTime {
    try {
        $boot = (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime
        $boot.ToUniversalTime().ToString($BootFormat, [Globalization.CultureInfo]::InvariantCulture)
    }
    catch { '' }
}

# Windows calculates when it started from its clock: if the clock is corrected, the time differs by some seconds.
function Test-SameBoot([string]$One, [string]$Other) {
    $times = foreach ($text in $One, $Other) {
        [DateTime]::ParseExact($text, $BootFormat, [Globalization.CultureInfo]::InvariantCulture)
    }
    [Math]::Abs(($times[0] - $times[1]).TotalSeconds) -lt 30
}

# Note when Windows started. A run that continues after a restart waits until Windows has restarted. While Windows
# starts, it may not report its boot time yet.
function Read-BootTime {
    if ('apply', 'request' -contains $Run.Mode) { $Run.Boot = Get-BootTime }
    if (-not $Run.BootBefore) { return }
    if (-not $Run.Boot -or (Test-SameBoot $Run.Boot $Run.BootBefore)) { $Run.Outcome = 'waiting' }
}

Add-Hook BeforeRun { Read-BootTime }
Add-Hook AtRestart { Complete-BeforeRestart }

# Finish a run that stops for a reboot. $Run.Restarts is how often the workstation will still continue this run; a run
# by hand has nothing that continues it. If one restart was not enough, another one is not either.
function Complete-BeforeRestart {
    $Run.Step = ''
    if ($Run.BootBefore -and -not $Run.Changed) { Write-StillPending; return }
    if ($Settings.reboot -ne 'if-needed') { return }
    if (-not $Run.Boot) {
        Write-Notice warning boot-time-unknown ('could not determine when Windows last started, so nbserver did not ' +
            'restart it. Restart Windows yourself, then try again')
    }
    elseif (-not $Run.Restarts -and $Run.BootBefore) {
        Write-Notice warning restarts-used-up ('Windows must restart again, but this run has reached its restart ' +
            'limit. Restart Windows, then try again')
    }
    elseif (-not $Run.Restarts) {
        Write-Notice warning no-restart-by-hand ('Windows must restart, but a script that you run by hand does not ' +
            'restart it. Restart Windows, then run the script again')
    }
    else {
        Restart-Windows
        $Run.Restarting = $true
    }
}

function Write-StillPending {
    $key = $Run.Pending.Trim([char[]]' ()')
    if ($key) {
        Write-Notice warning reboot-still-pending ('Windows must restart again ({key}), although it has just ' +
            'restarted. Find and fix what keeps requiring a restart, such as an update that fails at every start, ' +
            'then try again') @{ key = $key }
    }
    else {
        Write-Notice warning reboot-still-needed ('Windows must restart again, although it has just restarted. Find ' +
            'out why an installer keeps requiring a restart, fix the cause, then try again')
    }
}

# Restart in ten seconds, which leaves time for the last event of this run. The reason p:4:2 means: planned, the
# installation of an application. Two exit codes are not failures of shutdown.exe: with 1115
# (ERROR_SHUTDOWN_IN_PROGRESS), Windows already restarts; with 1190 (ERROR_SHUTDOWN_IS_SCHEDULED), it is unknown when.
function Restart-Windows {
    Write-Notice warning restarting 'Windows will restart in ten seconds. This run will continue after the restart'
    $shutdown = Join-Path $env:SystemRoot 'System32\shutdown.exe'
    $comment = 'nbserver: an installer requires a restart'
    Invoke-Program $shutdown @('/r', '/t', '10', '/d', 'p:4:2', '/c', $comment) -Accept 0, 1115, 1190 `
        -Code restart-failed -Text ('could not restart Windows ({program} exited with code {exit_code}): {output}. ' +
        'Restart Windows yourself, then try again')
    if ($Run.ExitCode -eq 1190) {
        throw (New-Failure restart-already-scheduled ('a restart or shutdown of Windows is already scheduled. Wait ' +
                'for it, or cancel it with shutdown /a, then try again'))
    }
}
