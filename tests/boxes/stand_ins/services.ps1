# Windows services that a test has made, for Get-CimInstance, Get-Service, Set-Service and Stop-Service. A service is a file
# C:\nbserver-test\services\NAME.json (Name, PathName, StartMode, and perhaps Needs, the name of another one) and a task NAME.xml beside it that says what runs; the task
# scheduler of the tests starts and ends it as `service.NAME`. Its process is the one whose program is PathName.

function global:Get-StandInServiceFile([string]$Name) { Join-Path (Get-StandInFolder 'services') "$Name.json" }

function global:Read-StandInService([string]$File) {
    $kept = [IO.File]::ReadAllText($File) | ConvertFrom-Json
    $state = Join-Path (Get-StandInFolder 'tasks') "service.$($kept.Name).state"
    $service = @{ Name = $kept.Name; DisplayName = $kept.Name; PathName = $kept.PathName; StartMode = $kept.StartMode; State = 'Stopped'; ProcessId = [uint32]0 }
    if ([IO.File]::Exists($state) -and [IO.File]::ReadAllText($state) -eq 'Running') {
        $service.State = 'Running'
        $service.ProcessId = [uint32]@(Get-Process | Where-Object { $_.Path -eq $kept.PathName } | ForEach-Object { $_.Id })[0]
    }
    New-Object psobject -Property $service
}

function global:Get-StandInService {
    foreach ($file in [IO.Directory]::GetFiles((Get-StandInFolder 'services'), '*.json') | Sort-Object) { Read-StandInService $file }
}

function global:Test-StandInService($Cmdlet, [string]$Name) {
    if ([IO.File]::Exists((Get-StandInServiceFile $Name))) { return $true }
    $Cmdlet.WriteError((New-StandInError "Cannot find any service with service name '$Name'." 'NoServiceFoundForGivenName' 'ObjectNotFound' $Name))
    $false
}

function global:Set-Service {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory = $true, Position = 0)] [string]$Name, [ValidateSet('Automatic', 'Manual', 'Disabled')] [string]$StartupType,
        [ValidateSet('Running', 'Stopped')] [string]$Status
    )
    if (-not (Test-StandInService $PSCmdlet $Name)) { return }
    $kept = [IO.File]::ReadAllText((Get-StandInServiceFile $Name)) | ConvertFrom-Json
    if ($StartupType) {
        $kept.StartMode = $StartupType -replace '^Automatic$', 'Auto'
        Write-StandInFile (Get-StandInServiceFile $Name) (ConvertTo-Json $kept) (New-Object Text.UTF8Encoding $false)
    }
    if ($Status -eq 'Running' -and $kept.StartMode -eq 'Disabled') {
        $PSCmdlet.WriteError((New-StandInError "Service '$Name' cannot be started due to the following error: it is disabled." 'CouldNotStartService' 'OpenError' $Name))
    }
    elseif ($Status) { Send-StandInTaskRequest $PSCmdlet "service.$Name" ($Status -replace 'Running', 'start' -replace 'Stopped', 'stop') }
}

function global:Get-StandInDependents([string]$Name) {
    foreach ($file in [IO.Directory]::GetFiles((Get-StandInFolder 'services'), '*.json') | Sort-Object) {
        $kept = [IO.File]::ReadAllText($file) | ConvertFrom-Json
        if (-not $kept.PSObject.Properties['Needs'] -or $kept.Needs -ne $Name) { continue }
        New-Object psobject -Property @{ Name = $kept.Name; Status = (Read-StandInService $file).State }
        Get-StandInDependents $kept.Name
    }
}

function global:Get-Service {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [string]$Name)
    if ($Name -eq 'MpsSvc') { return New-Object psobject -Property @{ Name = $Name; Status = Get-StandInFirewallStatus; DependentServices = @() } }
    if (-not (Test-StandInService $PSCmdlet $Name)) { return }
    $state = (Read-StandInService (Get-StandInServiceFile $Name)).State
    New-Object psobject -Property @{ Name = $Name; Status = $state; DependentServices = @(Get-StandInDependents $Name) }
}

function global:Stop-Service {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [string]$Name)
    if (-not (Test-StandInService $PSCmdlet $Name)) { return }
    if (@(Get-StandInDependents $Name | Where-Object { $_.Status -ne 'Stopped' }).Count) {
        $text = "Cannot stop service '$Name' because it has dependent services. It can only be stopped if the Force flag is set."
        $PSCmdlet.WriteError((New-StandInError $text 'ServiceHasDependentServices' 'InvalidOperation' $Name))
        return
    }
    Send-StandInTaskRequest $PSCmdlet "service.$Name" 'stop'
}
