# ---- step: preflight -------------------------------------------------------------------------------
# Refuse a host on which the notebook server cannot work, before anything is changed.

Add-Step preflight 'This host can run the notebook server' -Test {
    Assert-Requirement process { Assert-SixtyFourBit }
    Assert-Requirement architecture { Assert-Architecture }
    Assert-Requirement rights { Assert-Administrator }
    Assert-Requirement execution_policy { Assert-ExecutionPolicy }
    Assert-Requirement windows_version { Assert-WindowsVersion }
    Assert-Requirement universal_runtime { Assert-UniversalRuntime }
    Assert-Requirement notebook_folder { Assert-DataFolder (Expand-Path $Settings.notebook.directory) }
    Assert-Requirement clock { Assert-Clock }
    Assert-Requirement disk_space { Assert-FreeSpace }
    Assert-Requirement shell_memory { Assert-ShellMemory }
    Assert-Requirement restart { Find-PendingReboot }
    Assert-Requirement smart_app_control { Write-SmartAppControl }
    Assert-Requirement other_configuration { Write-ForeignConfiguration }
} -Apply {
    throw (New-Failure nothing-to-apply ('internal error (a bug in nbserver): the step {step} has nothing to change. ' +
            'Report this bug, and include this message') @{ step = 'preflight' })
}

# Without these rights, the state folder cannot be read either. Mode check reports all findings.
Add-Hook BeforeRun { if ($Run.Mode -ne 'check') { Assert-Administrator } }

function Assert-Administrator {
    Set-Found is-administrator 'this account has administrator rights'
    $user = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $user.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw (New-Failure not-administrator ('this account does not have administrator rights. Connect as an ' +
                'administrator; for a local account other than the built-in Administrator, set ' +
                'LocalAccountTokenFilterPolicy to 1 on the host'))
    }
}

$ShellPolicy = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\WinRM\Service\WinRS'

# Return whether the quotas of WinRM can count for this process. What runs at the console, over SSH, or as SYSTEM, such
# as a startup script of a group policy, is in no shell of WinRM.
function Test-RemoteShell {
    -not ($IsFile -and ($env:SSH_CONNECTION -or [Environment]::UserInteractive -or $UserSid -eq 'S-1-5-18'))
}

# With less than 1024 MB, Windows stops this session in the middle of the installation. There are two quotas: of command
# shells, and of the endpoint of PowerShell. A quota of 0 is unlimited.
function Assert-ShellMemory {
    if (-not (Test-RemoteShell)) { return }
    $quota = Get-ShellMemory
    if ($quota -and $quota -lt 1024) {
        $failure = New-ShellMemoryFailure $quota
        throw $failure
    }
    if ($quota) { Set-Found shell-memory 'remote shells have a memory quota of {quota} MB' @{ quota = $quota } }
    $quota = Get-EndpointMemory
    if ($quota -and $quota -lt 1024) {
        throw (New-Failure endpoint-memory-low ('the Microsoft.PowerShell endpoint has a memory quota of {quota} MB, ' +
                'but at least 1024 MB is required. Run on the host: Set-Item ' +
                'WSMan:\localhost\Plugin\Microsoft.PowerShell\Quotas\MaxMemoryPerShellMB 2048; Restart-Service ' +
                'WinRM') @{ quota = $quota })
    }
}

# A quota that a group policy sets cannot be changed on the host. Source: "Policy CSP - RemoteShell" on
# learn.microsoft.com.
function New-ShellMemoryFailure([int]$Quota) {
    if (Get-RegistryValue $ShellPolicy MaxMemoryPerShellMB) {
        return New-Failure shell-memory-policy ('a group policy sets a memory quota of {quota} MB for remote shells, ' +
            'but at least 1024 MB is required. Ask the administrator who manages this policy to raise "Specify ' +
            'maximum amount of memory in MB per Shell" (Windows Remote Shell) to 2048, or set transport = "ssh" in ' +
            'the inventory') @{ quota = $Quota }
    }
    New-Failure shell-memory-low ('remote shells have a memory quota of {quota} MB, but at least 1024 MB is ' +
        'required. Run on the host: Set-Item WSMan:\localhost\Shell\MaxMemoryPerShellMB 2048; Restart-Service ' +
        'WinRM') @{
        quota = $Quota
    }
}

# Return the quota in MB, or nothing if it cannot be read: in a run by hand, WinRM need not run.
function Get-ShellMemory {
    try { [int](Get-WSManInstance -ResourceURI winrm/config/winrs).MaxMemoryPerShellMB } catch { return }
}

function Get-EndpointMemory {
    $endpoint = @{ Name = 'Microsoft.PowerShell' }
    try { [int](Get-WSManInstance -ResourceURI winrm/config/plugin -SelectorSet $endpoint).Quotas.MaxMemoryPerShellMB }
    catch { return }
}

# Changes wait until Windows has restarted. Source of the keys: DSC_PendingReboot in ComputerManagementDsc.
function Find-PendingReboot {
    Set-Found no-restart-pending 'no restart of Windows is pending'
    $keys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending',
    'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired'
    foreach ($key in $keys) {
        if ($Run.Reboot -or -not (Test-Path -LiteralPath $key)) { continue }
        $Run.Reboot = $true
        $Run.Pending = " ($key)"
        Write-Notice warning reboot-pending ('a restart of Windows is pending (registry key {key}), and ' +
            'nbserver cannot change this host until Windows has restarted. ' +
            'Restart Windows, or set reboot = "if-needed" in the inventory to let nbserver restart it') @{
            key = $key
        }
    }
}
