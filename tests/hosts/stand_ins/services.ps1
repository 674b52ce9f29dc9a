# Windows services that a test has made, and Get-CimInstance for Win32_Service and Win32_Process. A service is a file
# C:\nbserver-test\services\NAME.json (Name, PathName, StartMode) and a task NAME.xml beside it that says what runs; the task
# scheduler of the tests starts and ends it as `service.NAME`. Its process is the one whose program is PathName.
# Processes are Wine's: who started them and with which command line, Windows' own functions say (native.ps1).

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

function global:Get-CimInstance {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [ValidateSet('Win32_Service', 'Win32_Process')] [string]$ClassName, [string]$Filter)
    if ($ClassName -eq 'Win32_Service') {
        if ($Filter) { throw 'The stand-in for Get-CimInstance filters processes only.' }
        foreach ($file in [IO.Directory]::GetFiles((Get-StandInFolder 'services'), '*.json') | Sort-Object) { Read-StandInService $file }
        return
    }
    if ($Filter -notmatch '^ProcessId = (\d+)$') { throw 'The stand-in for Get-CimInstance finds processes by ProcessId only.' }
    $process = Get-Process -Id $Matches[1] -ErrorAction SilentlyContinue
    if (-not $process) { return }
    $facts = Get-StandInProcessFacts $process.Id
    New-Object psobject -Property @{
        ProcessId = [uint32]$process.Id; ParentProcessId = [uint32]$facts.Parent; Name = "$($process.ProcessName).exe"
        ExecutablePath = $process.Path; CommandLine = $facts.CommandLine; CreationDate = $process.StartTime
    }
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

function global:Stop-Service {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [string]$Name)
    if (Test-StandInService $PSCmdlet $Name) { Send-StandInTaskRequest $PSCmdlet "service.$Name" 'stop' }
}
