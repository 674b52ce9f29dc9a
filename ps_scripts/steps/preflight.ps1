# ---- step: preflight -----------------------------------------------------------------------------------
# Refuses what cannot work, before anything is changed. It changes nothing itself.

Step preflight 'this host can carry the notebook server' -Test {
    $language = [string]$ExecutionContext.SessionState.LanguageMode
    if ($language -ne 'FullLanguage') { throw "PowerShell runs in $language mode here, and this script needs FullLanguage. Ask for an exception in this host's application control policy" }
    if ([IntPtr]::Size -ne 8) { throw 'this is a 32-bit Windows or a 32-bit PowerShell. Use a 64-bit one' }

    $is = [Environment]::GetEnvironmentVariable('PROCESSOR_ARCHITECTURE')
    $should = @{ x64 = 'AMD64'; arm64 = 'ARM64' }[$Settings.architecture]
    if ($is -ne $should) { throw "the processor is $is, and the inventory says architecture = `"$($Settings.architecture)`". Correct the inventory" }

    $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { throw 'administrator rights are missing. Connect as an administrator (a local one other than the built-in account needs LocalAccountTokenFilterPolicy = 1)' }

    # The certificate would be dated by a wrong clock, and downloads over TLS are refused by one. A day is no slip.
    $apart = [Math]::Abs($Run.ClockAhead.TotalMinutes)
    if ($apart -gt 5) {
        $is = [DateTime]::UtcNow
        $words = "this host's clock says $($is.ToString('u')), and the workstation's $(($is - $Run.ClockAhead).ToString('u')). Set the one that is wrong (on this host: w32tm /resync, or Set-Date)"
        if ($apart -gt 1440) { throw "$words, then run this again" }
        $Run.ClockAhead = [TimeSpan]::Zero   # told once
        Write-Event warning @{ text = $words }
    }

    # Python, the environment and its downloads take about 2 GB.
    $drive = New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($Programs))
    $free = [Math]::Round($drive.AvailableFreeSpace / 1GB, 1)
    if ($free -lt 3 -and -not (Test-Path -LiteralPath (Get-EnvironmentFolder))) { throw "only $free GB are free on $($drive.Name), and 3 GB are needed. Make room" }

    # Below 1024 MB per shell Windows ends this session in the middle of the installation.
    # Where the quota cannot be read (run by hand, WinRM not running) it is not judged.
    $quota = $null
    try { $quota = [int](Get-WSManInstance -ResourceURI winrm/config/winrs).MaxMemoryPerShellMB } catch { $quota = $null }
    if ($quota -and $quota -lt 1024) { throw "the memory quota of remote shells is $quota MB, and 1024 are needed. Run: Set-Item WSMan:\localhost\Shell\MaxMemoryPerShellMB 2048; Restart-Service WinRM" }

    # Source of the keys: DSC_PendingReboot in ComputerManagementDsc.
    foreach ($key in 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending',
        'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired') {
        if (-not $Run.Reboot -and (Test-Path -LiteralPath $key)) {
            $Run.Reboot = $true
            Write-Event warning @{ text = "Windows waits for a reboot ($key). What there is to change is changed after it" }
        }
    }

    $port = $Settings.notebook.port
    $listening = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners() | Where-Object { $_.Port -eq $port }
    if ($listening -and -not (Test-TaskRunning 'nbserver')) {
        throw "port $port is taken by another program$(Get-PortOwner $port). Stop it, or choose another notebook.port in the inventory"
    }
} -Apply {
    throw 'preflight has nothing to change'
}

# ' (name, process 1234)', where this Windows tells.
function Get-PortOwner([int]$Port) {
    try {
        $connection = @(Get-NetTCPConnection -LocalPort $Port -State Listen)[0]
        $process = Get-Process -Id $connection.OwningProcess
        " ($($process.ProcessName), process $($process.Id))"
    }
    catch { '' }
}
