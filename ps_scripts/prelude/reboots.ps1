# ---- prelude: reboots ----------------------------------------------------------------------------------
# Where Windows waits for a reboot ($Run.Reboot), nothing more is changed before it has restarted. With
# reboot = "never" the run stops there; with "if-needed" it restarts Windows, and the workstation comes back.

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

# In ten seconds, which leaves time for this run's last event. p:4:2 says: planned, the installation of an application.
function Restart-Windows {
    Write-Event warning @{ text = 'Windows restarts in ten seconds; this run goes on after it' }
    Invoke-Program (Join-Path $env:SystemRoot 'System32\shutdown.exe') @('/r', '/t', '10', '/d', 'p:4:2', '/c', 'nbserver: an installer asked for it')
}
