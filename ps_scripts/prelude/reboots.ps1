# ---- prelude: reboots ----------------------------------------------------------------------------------
# Where Windows waits for a reboot ($Run.Reboot), nothing more is changed before it has restarted: the run stops
# there. With reboot = "if-needed" it restarts Windows where the workstation comes back for the rest.

$BootFormat = "yyyy-MM-dd'T'HH:mm:ss'Z'"

# When Windows started, in UTC; empty where this Windows cannot tell.
function Get-BootTime {
    try { (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime.ToUniversalTime().ToString($BootFormat, [Globalization.CultureInfo]::InvariantCulture) }
    catch { '' }
}

# Windows counts its start back from the clock, so a corrected clock moves it a little: that is no restart.
function Test-SameBoot([string]$One, [string]$Other) {
    $times = foreach ($text in $One, $Other) { [DateTime]::ParseExact($text, $BootFormat, [Globalization.CultureInfo]::InvariantCulture) }
    [Math]::Abs(($times[0] - $times[1]).TotalSeconds) -lt 30
}

# The run ends here. Restarts is how often the workstation still comes back; to a run by hand nobody does. What a
# restart has not ended, another one does not end either.
function Complete-BeforeRestart {
    $Run.Step = ''
    if ($Run.BootBefore -and -not $Run.Changed) {
        Write-Event warning @{ text = "Windows has restarted and still waits for a reboot$($Run.Pending): it is not restarted again. Look at what keeps it waiting, such as an update that fails at each start, then run this again" }
    }
    elseif ($Settings.reboot -ne 'if-needed') { return }
    elseif (-not $Run.Boot) { Write-Event warning @{ text = 'this Windows does not tell when it started, so it is not restarted. Restart it, then run the same again' } }
    elseif (-not $Run.Restarts -and $Run.BootBefore) { Write-Event warning @{ text = 'Windows has to restart once more, and is not restarted again in this run. Restart it, then run the same again' } }
    elseif (-not $Run.Restarts) { Write-Event warning @{ text = 'Windows has to restart, and nobody comes back to a run by hand, so it is not restarted. Restart it, then run the same again' } }
    else { Restart-Windows; $Run.Restarting = $true }
}

# In ten seconds, which leaves time for this run's last event. p:4:2 says: planned, the installation of an application.
# 1115 is ERROR_SHUTDOWN_IN_PROGRESS: somebody was faster. 1190 is ERROR_SHUTDOWN_IS_SCHEDULED, nobody knows for when.
function Restart-Windows {
    Write-Event warning @{ text = 'Windows restarts in ten seconds; this run goes on after it' }
    Invoke-Program (Join-Path $env:SystemRoot 'System32\shutdown.exe') @('/r', '/t', '10', '/d', 'p:4:2', '/c', 'nbserver: an installer asked for it') -Accept 0, 1115, 1190 `
        -Todo 'Restart Windows, then run this again'
    if ($Run.ExitCode -eq 1190) { throw 'a restart or shutdown of Windows is scheduled already. Wait for it or cancel it (shutdown /a), then run this again' }
}
