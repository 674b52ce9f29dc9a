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

# Win32_Service calls a delayed automatic start "Auto". Set-Service of Windows PowerShell has no delayed start, and
# changes it to one without delay, so undo writes the value itself.
function Get-ServiceKey([string]$Name) { "HKLM:\SYSTEM\CurrentControlSet\Services\$Name" }

function Test-Delayed([string]$Name) {
    $delayed = Get-RegistryValue (Get-ServiceKey $Name) 'DelayedAutostart'
    [bool]($delayed -and $delayed.value)
}

# The service is disabled first, so that nothing starts it again.
function Disable-Service([string]$Name) {
    $service = Get-WindowsService $Name
    $before = @{ StartMode = [string]$service.StartMode; State = [string]$service.State }
    if ($service.StartMode -eq 'Auto' -and (Test-Delayed $Name)) { $before.Delayed = $true }
    Save-Before 'service' $Name $before
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
    if ($Before.PSObject.Properties['Delayed'] -and -not (Test-Delayed $Name)) {
        Set-ItemProperty -LiteralPath (Get-ServiceKey $Name) -Name 'DelayedAutostart' -Value 1 -Type DWord
    }
    if ($Before.State -eq 'Running' -and $service.State -ne 'Running') { Set-Service -Name $Name -Status Running }
}
