# ---- step: preflight -----------------------------------------------------------------------------------
# Refuses what cannot work, before anything is changed. It changes nothing itself.

Step preflight 'this host can carry the notebook server' -Test {
    Assert-ExecutionPolicy
    if ([IntPtr]::Size -ne 8) { throw 'this is a 32-bit Windows or a 32-bit PowerShell. Use a 64-bit one' }

    $is = [Environment]::GetEnvironmentVariable('PROCESSOR_ARCHITECTURE')
    $should = @{ x64 = 'AMD64'; arm64 = 'ARM64' }[$Settings.architecture]
    if ($is -ne $should) { throw "the processor is $is, and the inventory says architecture = `"$($Settings.architecture)`". Correct the inventory" }

    $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { throw 'administrator rights are missing. Connect as an administrator (a local one other than the built-in account needs LocalAccountTokenFilterPolicy = 1)' }

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

# AllSigned is this site's wish for signed scripts only. Windows would let this one pass: a pipeline's text
# is no file, and -ExecutionPolicy Bypass stands in the scope Process, which is left out here. A file that
# runs while AllSigned holds for this process too is signed: Windows has looked.
function Assert-ExecutionPolicy {
    $policy = @(Get-ExecutionPolicy -List | Where-Object { [string]$_.Scope -ne 'Process' -and [string]$_.ExecutionPolicy -ne 'Undefined' })
    if (-not $policy -or [string]$policy[0].ExecutionPolicy -ne 'AllSigned') { return }
    if ($IsFile -and [string](Get-ExecutionPolicy) -eq 'AllSigned') { return }
    $scope = [string]$policy[0].Scope
    $todo = "Exempt this host while nbserver works on it: Set-ExecutionPolicy RemoteSigned -Scope $scope"
    if ($scope -cmatch 'Policy$') { $todo = 'A group policy says so: ask for an exemption of this host from it' }
    throw "only signed scripts may run on this host (execution policy AllSigned, scope $scope), and this one is not signed. $todo"
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
