# ---- step: preflight -------------------------------------------------------------------------------
# Refuse a host on which the notebook server cannot work, before anything is changed.

Add-Step preflight 'This host can run the notebook server' -Test {
    Assert-SixtyFourBit
    Assert-Architecture
    Assert-Administrator
    Assert-ExecutionPolicy
    Assert-WindowsVersion
    Assert-DataFolder (Expand-Path $Settings.notebook.directory)
    Assert-Clock
    Assert-FreeSpace
    Assert-ShellMemory
    Assert-FreePort
    Find-PendingReboot
    Write-ForeignConfiguration
} -Apply {
    throw (New-Failure nothing-to-apply 'the step {step} has nothing to change' @{ step = 'preflight' })
}

function Assert-SixtyFourBit {
    if ([IntPtr]::Size -ne 8) {
        throw (New-Failure powershell-32-bit ('PowerShell runs as a 32-bit program. Use the 64-bit PowerShell of a ' +
                '64-bit Windows'))
    }
}

function Assert-Architecture {
    $is = [Environment]::GetEnvironmentVariable('PROCESSOR_ARCHITECTURE')
    $should = @{ x64 = 'AMD64'; arm64 = 'ARM64' }[$Settings.architecture]
    if ($is -ne $should) {
        throw (New-Failure wrong-architecture ('the processor is {is}, but the inventory has architecture = ' +
                '"{architecture}". Correct architecture in the inventory') @{
                is = $is; architecture = $Settings.architecture
            })
    }
}

function Assert-Administrator {
    if ($Settings.scope -eq 'user') { return }
    $user = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $user.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw (New-Failure not-administrator ('administrator rights are missing. Connect as an administrator. A ' +
                'local administrator other than the built-in account needs LocalAccountTokenFilterPolicy = 1'))
    }
}

# With AllSigned, a site allows signed scripts only. Windows does not enforce it for the text of a remote pipeline, nor
# with -ExecutionPolicy Bypass, which sets the scope Process: that scope is left out. If AllSigned holds for this
# process as well and the script is a file, Windows has checked the signature.
function Assert-ExecutionPolicy {
    $set = Get-ExecutionPolicy -List | Where-Object {
        [string]$_.Scope -ne 'Process' -and [string]$_.ExecutionPolicy -ne 'Undefined'
    }
    $policy = @($set)
    if (-not $policy -or [string]$policy[0].ExecutionPolicy -ne 'AllSigned') { return }
    if ($IsFile -and [string](Get-ExecutionPolicy) -eq 'AllSigned') { return }
    $scope = [string]$policy[0].Scope
    if ($scope -cmatch 'Policy$') {
        throw (New-Failure only-signed-by-policy ('only signed scripts may run on this host (execution policy ' +
                'AllSigned, scope {scope}), and this one is not signed. A group policy requires it: ask for an ' +
                'exemption of this host') @{ scope = $scope })
    }
    throw (New-Failure only-signed ('only signed scripts may run on this host (execution policy AllSigned, scope ' +
            '{scope}), and this one is not signed. Exempt this host while nbserver works on it: ' +
            'Set-ExecutionPolicy RemoteSigned -Scope {scope}') @{ scope = $scope })
}

function Assert-WindowsVersion {
    $version = Get-WindowsVersion ([Environment]::OSVersion.Version)
    $fault = Get-WindowsFault $version (Get-InstallationType) $Settings.windows
    if ($fault) {
        throw $fault
    }
}

# A wrong clock dates the certificate, and makes downloads over TLS fail. A difference of a day is not an accident.
function Assert-Clock {
    $minutes = [Math]::Abs($Run.ClockAhead.TotalMinutes)
    if ($minutes -le 5) { return }
    $now = [DateTime]::UtcNow
    $times = @{ host_time = $now.ToString('u'); workstation_time = ($now - $Run.ClockAhead).ToString('u') }
    if ($minutes -gt 24 * 60) {
        throw (New-Failure clock-wrong ('the clock of this host says {host_time}, and that of the workstation ' +
                'says {workstation_time}. Set the wrong one (on this host: w32tm /resync, or Set-Date), then run ' +
                'this again') $times)
    }
    Write-Notice warning clock-differs ('the clock of this host says {host_time}, and that of the workstation ' +
        'says {workstation_time}. Set the wrong one (on this host: w32tm /resync, or Set-Date)') $times
    $Run.ClockAhead = [TimeSpan]::Zero   # so that the next Test does not report it again
}

# Python, the environment, and their downloads take about 2 GB.
function Assert-FreeSpace {
    $drive = New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($Programs))
    if ($drive.AvailableFreeSpace -ge 3GB -or (Test-Path -LiteralPath (Get-EnvironmentFolder))) { return }
    throw (New-Failure disk-space-low ('only {free} GB are free on drive {drive}, and 3 GB are needed. Make room on ' +
            'it, then run this again') @{
            free = [string][Math]::Round($drive.AvailableFreeSpace / 1GB, 1); drive = $drive.Name
        })
}

# With less than 1024 MB, Windows stops this session in the middle of the installation.
function Assert-ShellMemory {
    if ($Settings.scope -eq 'user') { return }
    $quota = Get-ShellMemory
    if ($quota -and $quota -lt 1024) {
        throw (New-Failure shell-memory-low ('the memory quota of remote shells is {quota} MB, and at least 1024 MB ' +
                'are needed. Run: Set-Item WSMan:\localhost\Shell\MaxMemoryPerShellMB 2048; Restart-Service WinRM') @{
                quota = $quota
            })
    }
}

# Return the quota in MB, or nothing if it cannot be read: in a run by hand, WinRM need not run.
function Get-ShellMemory {
    try { [int](Get-WSManInstance -ResourceURI winrm/config/winrs).MaxMemoryPerShellMB } catch { return }
}

# In user scope, no other program is stopped. In machine scope, the step takeover checks the port.
function Assert-FreePort {
    $port = $Settings.notebook.port
    if ($Settings.scope -ne 'user' -or -not (Test-PortListening $port)) { return }
    $processes = @(Get-PortProcess $port)
    if (-not $processes.Count) {
        # Windows does not report the process. That our server runs is not enough: it may listen on another port.
        if ((Test-DeployedPort $port) -and @(Get-ProcessBelow $Programs).Count) { return }
        throw (New-Failure port-taken-unknown ('TCP port {port} is used by another program. Stop it, or choose ' +
                'another notebook.port in the inventory') @{ port = $port })
    }
    $ours = $processes | Where-Object { $_.ExecutablePath -and (Test-Below $_.ExecutablePath $Programs) }
    if (@($ours).Count) { return }
    throw (New-Failure port-taken ('TCP port {port} is used by {program} (process {process}). Stop it, or choose ' +
            'another notebook.port in the inventory') @{
            port = $port; program = $processes[0].Name; process = $processes[0].ProcessId
        })
}

# Changes wait until Windows has restarted. Source of the keys: DSC_PendingReboot in ComputerManagementDsc.
function Find-PendingReboot {
    if ($Settings.scope -eq 'user') { return }
    $keys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending',
    'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired'
    foreach ($key in $keys) {
        if ($Run.Reboot -or -not (Test-Path -LiteralPath $key)) { continue }
        $Run.Reboot = $true
        $Run.Pending = " ($key)"
        Write-Notice warning reboot-pending 'Windows waits for a reboot ({key}). Changes are applied after it' @{
            key = $key
        }
    }
}
