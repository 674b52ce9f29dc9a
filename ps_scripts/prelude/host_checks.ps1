# ---- prelude: host_checks --------------------------------------------------------------------------
# Refuse a host because of its processor, policy, version, clock, or free space.

function Assert-SixtyFourBit {
    Set-Found is-64-bit 'PowerShell is running as a 64-bit program'
    if ([IntPtr]::Size -ne 8) {
        throw (New-Failure powershell-32-bit ('PowerShell is running as a 32-bit program. Use 64-bit PowerShell on ' +
                '64-bit Windows'))
    }
}

$DotNetKey = 'HKLM:\SOFTWARE\Microsoft\NET Framework Setup\NDP\v4\Full'

# Windows PowerShell uses .NET Framework. Release 378389 is version 4.5, which can unpack files and speak TLS 1.2.
# Source: "How to determine which .NET Framework versions are installed" on learn.microsoft.com.
function Assert-DotNet {
    $version = $PSVersionTable.PSVersion
    Set-Found powershell-version 'this host runs PowerShell {version}' @{ version = [string]$version }
    if ($version.Major -ge 6) { return }
    $release = Get-RegistryValue $DotNetKey Release
    if (-not $release -or [int]$release.value -lt 378389) {
        throw (New-Failure dotnet-too-old ('Windows PowerShell {version} requires .NET Framework 4.5 or newer. ' +
                'Install it, then try again') @{ version = [string]$version })
    }
    Set-Found dotnet-version 'this host runs Windows PowerShell {version} with .NET Framework 4, release {release}' @{
        version = [string]$version; release = [string]$release.value
    }
}

function Assert-Architecture {
    $is = [Environment]::GetEnvironmentVariable('PROCESSOR_ARCHITECTURE')
    $found = @{ AMD64 = 'x64'; ARM64 = 'arm64' }[[string]$is]
    if (-not $found) {
        throw (New-Failure architecture-unsupported ('the processor architecture of this host is {is}, but ' +
                'nbserver supports only AMD64 (x64) and ARM64 (arm64). Use another host') @{ is = $is })
    }
    Set-Found architecture-right 'the processor architecture is {is}' @{ is = $is }
    if ($found -ne $Settings.architecture) {
        throw (New-Failure wrong-architecture ('the processor architecture of this host is {is}, but nbserver ' +
                'expected {architecture}. Set architecture = "{found}" in the inventory') @{
                is = $is; architecture = $Settings.architecture; found = $found
            })
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
    Set-Found scripts-allowed 'the execution policy allows this script'
    if (-not $policy -or [string]$policy[0].ExecutionPolicy -ne 'AllSigned') { return }
    if ($IsFile -and [string](Get-ExecutionPolicy) -eq 'AllSigned') { return }
    $scope = [string]$policy[0].Scope
    if ($scope -cmatch 'Policy$') {
        throw (New-Failure only-signed-by-policy ('a group policy allows only signed scripts on this host (execution ' +
                'policy AllSigned, scope {scope}), but this script is not signed. Ask the administrator who manages ' +
                'this policy to exempt this host') @{ scope = $scope })
    }
    throw (New-Failure only-signed ('this host allows only signed scripts (execution policy AllSigned, scope ' +
            '{scope}), but this script is not signed. On this host, run Set-ExecutionPolicy RemoteSigned -Scope ' +
            '{scope}, then try again. After nbserver has finished, you can set the policy to AllSigned ' +
            'again') @{ scope = $scope })
}

function Assert-WindowsVersion {
    $version = Get-WindowsVersion ([Environment]::OSVersion.Version)
    Set-Found windows-supported 'this host runs Windows version {is}' @{ is = [string]$version }
    $fault = Get-WindowsFault $version (Get-InstallationType) $Settings.windows
    if ($fault) {
        throw $fault
    }
}

# Windows 10 has the runtime. wusa.exe, which installs updates, is refused over WinRM.
function Assert-UniversalRuntime {
    Set-Found universal-runtime-present 'the Universal C Runtime is installed'
    if (Test-Path -LiteralPath (Join-Path ([Environment]::SystemDirectory) 'ucrtbase.dll')) { return }
    throw (New-Failure universal-runtime-missing ('Python requires the Universal C Runtime, which is not installed. ' +
            'Install it with Windows Update, or install update KB2999226 at this host''s console (Windows does not ' +
            'allow wusa.exe over WinRM), then try again'))
}

# A wrong clock dates the certificate, and makes downloads over TLS fail. A difference of a day is not an accident.
function Assert-Clock {
    $minutes = [Math]::Abs($Run.ClockAhead.TotalMinutes)
    Set-Found clock-right 'the clocks on this host and on the workstation differ by {seconds} s' @{
        seconds = [int]($minutes * 60)
    }
    if ($minutes -le 5) { return }
    $now = [DateTime]::UtcNow
    $times = @{ host_time = $now.ToString('u'); workstation_time = ($now - $Run.ClockAhead).ToString('u') }
    if ($minutes -gt 24 * 60) {
        throw (New-Failure clock-wrong ('the clock on this host shows {host_time}, but the clock on the workstation ' +
                'shows {workstation_time}. Correct the wrong clock (on this host, run w32tm /resync or Set-Date), ' +
                'then try again') $times)
    }
    Write-Notice warning clock-differs ('the clock on this host shows {host_time}, but the clock on the workstation ' +
        'shows {workstation_time}. Correct the wrong clock (on this host, run w32tm /resync or Set-Date)') $times
    $Run.ClockAhead = [TimeSpan]::Zero   # so that the next Test does not report it again
}

# Python, the environment, and their downloads take about 2 GB.
function Assert-FreeSpace {
    $drive = New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($Programs))
    $space = @{ free = [string][Math]::Round($drive.AvailableFreeSpace / 1GB, 1); drive = $drive.Name }
    Set-Found disk-space 'drive {drive} has {free} GB of free space' $space
    if ($drive.AvailableFreeSpace -ge 3GB -or (Test-Path -LiteralPath (Get-EnvironmentFolder))) { return }
    throw (New-Failure disk-space-low ('drive {drive} has {free} GB of free space, but 3 GB is required. Free some ' +
            'disk space, then try again') $space)
}

# A policy of WDAC (App Control for Business) that is enforced for programs: status 2. Source: "Win32_DeviceGuard" on
# learn.microsoft.com. Windows without this class enforces nothing.
function Write-CodeIntegrity {
    Set-Found code-integrity-off 'no application control policy (WDAC) is enforced for programs'
    try { $found = Get-CimInstance -Namespace root\Microsoft\Windows\DeviceGuard -ClassName Win32_DeviceGuard }
    catch { return }
    $status = $found.PSObject.Properties['UsermodeCodeIntegrityPolicyEnforcementStatus']
    if (-not $status -or [string]$status.Value -ne '2') { return }
    Write-Notice warning code-integrity-enforced ('an application control policy (WDAC) is enforced for programs. If ' +
        'it does not allow Python and the .pyd files of its packages, the notebook server cannot start. Ask the ' +
        'administrator who manages this policy to allow programs in {folder}') @{ folder = $Programs }
}

$CodeIntegrityKey = 'HKLM:\SYSTEM\CurrentControlSet\Control\CI\Policy'
$SmartAppControl = @{ Reported = $false }   # in this run

# Smart App Control of Windows 11: 0 is off, 1 on, 2 evaluation, which blocks nothing. If it is on, Windows does not
# load files that are neither signed nor known to Microsoft, such as the .pyd files of many packages.
function Write-SmartAppControl {
    Set-Found smart-app-control-off 'Smart App Control does not block programs'
    $state = Get-RegistryValue $CodeIntegrityKey VerifiedAndReputablePolicyState
    if (-not $state -or [string]$state.value -ne '1' -or $SmartAppControl.Reported) { return }
    $SmartAppControl.Reported = $true
    Write-Notice warning smart-app-control ('Smart App Control is on and may block the unsigned .pyd files of ' +
        'Python packages, so the notebook server may not start. Use another host, or turn Smart App Control off ' +
        'in Windows Security (App & browser control); turning it on again requires resetting Windows')
}
