# ---- prelude: Windows services that stand in the way ---------------------------------------------------
# Names, modes and states are the same in every language of Windows; display names are not looked at.

function Get-WindowsService([string]$Name) {
    Get-CimInstance -ClassName Win32_Service | Where-Object { $_.Name -eq $Name }
}

# The names of services that need this one, directly or not, and run: while they do, Windows does not stop it.
function Get-RunningDependents([string]$Name) {
    foreach ($dependent in (Get-Service -Name $Name).DependentServices) { if ([string]$dependent.Status -ne 'Stopped') { $dependent.Name } }
}

# Kind service: what starts it, and whether it runs. A service is disabled first: none starts it meanwhile.
function Disable-Service([string]$Name) {
    $service = Get-WindowsService $Name
    Save-Before 'service' $Name @{ StartMode = [string]$service.StartMode; State = [string]$service.State }
    Set-Service -Name $Name -StartupType Disabled
    Stop-Service -Name $Name
}

$Restore.service = {
    param($Name, $Before)
    $service = Get-WindowsService $Name
    if (-not $service) { return }   # somebody has removed it since
    $mode = @{ Auto = 'Automatic'; Manual = 'Manual'; Disabled = 'Disabled' }[$Before.StartMode]
    if ($service.StartMode -ne $Before.StartMode) { Set-Service -Name $Name -StartupType $mode }
    if ($Before.State -eq 'Running' -and $service.State -ne 'Running') { Set-Service -Name $Name -Status Running }
}
