# ---- prelude: services -----------------------------------------------------------------------------
# Disable Windows services of other programs, and enable and start them in undo.

# Names, start modes, and states are the same in every display language. Display names are not used.

function Get-WindowsService([string]$Name) {
    Get-CimInstance -ClassName Win32_Service | Where-Object { $_.Name -eq $Name }
}

# Return the services that run and need this one, directly or not. While one runs, Windows does not stop this one.
function Get-RunningDependent([string]$Name) {
    foreach ($dependent in (Get-Service -Name $Name).DependentServices) {
        if ([string]$dependent.Status -ne 'Stopped') { $dependent.Name }
    }
}

# The service is disabled first, so that nothing starts it again.
function Disable-Service([string]$Name) {
    $service = Get-WindowsService $Name
    Save-Before 'service' $Name @{ StartMode = [string]$service.StartMode; State = [string]$service.State }
    Write-StepProgress stopping-service 'Stopping the service {service}' @{ service = $Name }
    Set-Service -Name $Name -StartupType Disabled
    Stop-Service -Name $Name
}

$Restore.service = {
    param($Name, $Before)
    $service = Get-WindowsService $Name
    if (-not $service) { return }                        # it was removed since
    if ($service.StartMode -ne $Before.StartMode) {
        $type = @{ Auto = 'Automatic'; Manual = 'Manual'; Disabled = 'Disabled' }[$Before.StartMode]
        Set-Service -Name $Name -StartupType $type
    }
    if ($Before.State -eq 'Running' -and $service.State -ne 'Running') { Set-Service -Name $Name -Status Running }
}
