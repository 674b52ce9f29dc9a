# ---- step: service ---------------------------------------------------------------------------------
# Run the server as a scheduled task.

# The task starts with Windows, has no time limit, is started again when it stops, and runs on battery power. A second
# trigger starts it every five minutes if it does not run. It runs as LOCAL SERVICE, without administrator rights.
# ProcessTokenSidType gives its process the SID that has access to the files.

# Return the elements of the task: the path, the wanted text, and what Windows assumes if the element is missing.
function Get-ServiceProperty {
    @(
        @{ Path = 'RegistrationInfo/Description'; Should = Get-ServiceState; Default = '' }
        @{ Path = 'Triggers/BootTrigger/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Triggers/TimeTrigger/Repetition/Interval'; Should = 'PT5M'; Default = '' }
        @{ Path = 'Principals/Principal/UserId'; Should = 'S-1-5-19'; Default = '' }
        @{ Path = 'Principals/Principal/RunLevel'; Should = 'LeastPrivilege'; Default = 'LeastPrivilege' }
        @{ Path = 'Principals/Principal/ProcessTokenSidType'; Should = 'Unrestricted'; Default = 'Default' }
        @{ Path = 'Settings/MultipleInstancesPolicy'; Should = 'IgnoreNew'; Default = 'IgnoreNew' }
        @{ Path = 'Settings/DisallowStartIfOnBatteries'; Should = 'false'; Default = 'true' }
        @{ Path = 'Settings/StopIfGoingOnBatteries'; Should = 'false'; Default = 'true' }
        @{ Path = 'Settings/ExecutionTimeLimit'; Should = 'PT0S'; Default = 'P3D' }
        @{ Path = 'Settings/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Settings/RestartOnFailure/Interval'; Should = 'PT1M'; Default = '' }
        @{ Path = 'Actions/Exec/Command'; Should = Get-EnvironmentProgram 'python.exe'; Default = '' }
        @{ Path = 'Actions/Exec/Arguments'; Should = Format-ServerArgument; Default = '' }
        @{ Path = 'Actions/Exec/WorkingDirectory'; Should = $WorkFolder; Default = '' }
    )
}

# Return the task. S-1-5-19 is LOCAL SERVICE.
function Get-ServiceXml {
    @"
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>$(Protect-Xml (Get-ServiceState))</Description></RegistrationInfo>
  <Triggers>
    <BootTrigger><Enabled>true</Enabled></BootTrigger>
    <TimeTrigger>
      <Repetition><Interval>PT5M</Interval></Repetition>
      <StartBoundary>2020-01-01T00:00:00</StartBoundary><Enabled>true</Enabled>
    </TimeTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>S-1-5-19</UserId><RunLevel>LeastPrivilege</RunLevel>
      <ProcessTokenSidType>Unrestricted</ProcessTokenSidType>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Enabled>true</Enabled>
    <RestartOnFailure><Interval>PT1M</Interval><Count>255</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>$(Protect-Xml (Get-EnvironmentProgram 'python.exe'))</Command>
      <Arguments>$(Protect-Xml (Format-ServerArgument))</Arguments>
      <WorkingDirectory>$(Protect-Xml $WorkFolder)</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"@ -replace "`r", ''
}

function Test-TaskRunning([string]$Name) {
    # A task that does not exist does not run.
    $task = Get-ScheduledTask -TaskName $Name -TaskPath '\' -ErrorAction SilentlyContinue
    $task -and [string]$task.State -eq 'Running'
}

function Test-ServerRunning { Test-TaskRunning 'nbserver' }

function Compare-ServiceTask {
    $text = Get-TaskXml 'nbserver'
    if (-not $text) {
        Add-Difference task 'scheduled task nbserver' $null 'registered'
        return
    }
    $xml = [xml]$text
    foreach ($property in Get-ServiceProperty) {
        $is = Get-TaskText $xml $property.Path
        if ($null -eq $is) { $is = $property.Default }
        if ($is -ne $property.Should) {
            Add-Difference task-property 'scheduled task nbserver, {property}' $is $property.Should @{
                property = $property.Path
            }
        }
    }
    if (-not (Test-TaskRunning 'nbserver')) { Add-Difference task 'scheduled task nbserver' 'not running' 'running' }
}

function Start-ServiceTask {
    if (Get-TaskXml 'nbserver') { Stop-Task 'nbserver' }
    Set-Task 'nbserver' (Get-ServiceXml)
    Start-ScheduledTask -TaskName 'nbserver' -TaskPath '\' -ErrorAction Stop
}

# Return the failure of a server that answers requests without the password. $Values are those of the text.
function New-OpenServerFailure([hashtable]$Values) {
    New-Failure server-open ('the notebook server on TCP port {port} answered a request without the password with ' +
        '{status} instead of 401 or 403, so anyone who can connect may be able to run programs with its account. ' +
        'Stop the server (Disable-ScheduledTask nbserver; Stop-ScheduledTask nbserver) and read its log ({log}). If ' +
        'someone added files to {folder}, remove this folder. Then run nbserver apply again') $Values
}

Add-Step service 'The notebook server runs' -Test { Compare-ServiceTask } -Apply { Start-ServiceTask }
