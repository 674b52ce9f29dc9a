# ---- step: service ---------------------------------------------------------------------------------
# Run the server as a scheduled task.

# The task starts with Windows, has no time limit, is started again when it stops, and runs on battery power. A second
# trigger starts it every five minutes if it does not run. It runs as LOCAL SERVICE, without administrator rights.
# ProcessTokenSidType gives its process the SID that has access to the files. Priority 5 is the normal one of a program.
# The default, 7, is below normal for the processor, the disk, and memory, and kernels inherit it.

# Return the elements of the task: the path, the wanted text, and what Windows assumes if the element is missing. The
# task scheduler leaves out elements that equal their default, adds others, and has its own order. Sources of the
# defaults: "Task Scheduler Schema" and, for ProcessTokenSidType, "Task Security Hardening" on learn.microsoft.com.
function Get-ServiceProperty {
    @(
        @{ Path = 'RegistrationInfo/Description'; Should = Get-ServiceState; Default = '' }
        @{ Path = 'Triggers/BootTrigger/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Triggers/TimeTrigger/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Triggers/TimeTrigger/Repetition/Interval'; Should = 'PT5M'; Default = '' }
        @{ Path = 'Principals/Principal/UserId'; Should = 'S-1-5-19'; Default = '' }
        @{ Path = 'Principals/Principal/RunLevel'; Should = 'LeastPrivilege'; Default = 'LeastPrivilege' }
        @{ Path = 'Principals/Principal/ProcessTokenSidType'; Should = 'Unrestricted'; Default = 'Unrestricted' }
        @{ Path = 'Settings/MultipleInstancesPolicy'; Should = 'IgnoreNew'; Default = 'IgnoreNew' }
        @{ Path = 'Settings/DisallowStartIfOnBatteries'; Should = 'false'; Default = 'true' }
        @{ Path = 'Settings/StopIfGoingOnBatteries'; Should = 'false'; Default = 'true' }
        @{ Path = 'Settings/StartWhenAvailable'; Should = 'true'; Default = 'false' }
        @{ Path = 'Settings/AllowStartOnDemand'; Should = 'true'; Default = 'true' }
        @{ Path = 'Settings/ExecutionTimeLimit'; Should = 'PT0S'; Default = 'PT72H' }
        @{ Path = 'Settings/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Settings/Priority'; Should = '5'; Default = '7' }
        @{ Path = 'Settings/RestartOnFailure/Interval'; Should = 'PT1M'; Default = '' }
        @{ Path = 'Settings/RestartOnFailure/Count'; Should = '255'; Default = '' }
        @{ Path = 'Actions/Exec/Command'; Should = Get-EnvironmentProgram 'python.exe'; Default = '' }
        @{ Path = 'Actions/Exec/Arguments'; Should = Format-ServerArgument; Default = '' }
        @{ Path = 'Actions/Exec/WorkingDirectory'; Should = $WorkFolder; Default = '' }
    )
}

# A trigger that is missing has no defaults.
function Get-ServiceText([xml]$Xml, [hashtable]$Property) {
    $text = Get-TaskText $Xml $Property.Path
    if ($null -ne $text) { return $text }
    if ($Property.Path -cmatch '^(Triggers/\w+)/' -and $null -eq (Get-TaskText $Xml $Matches[1])) { return '' }
    $Property.Default
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
    <Priority>5</Priority>
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

# A task that Windows is about to start is Queued. A task that does not exist does not run.
function Test-TaskRunning([string]$Name) {
    $task = Find-Task $Name
    $task -and 'Running', 'Queued' -contains [string]$task.State
}

function Test-ServerRunning { Test-TaskRunning 'nbserver' }

$ServiceTask = @{ Started = $false }   # in this run

# Whether a task that this run has started still runs is for the step check, which quotes the server's log.
function Compare-ServiceTask {
    $text = Get-TaskXml 'nbserver'
    if (-not $text) {
        Add-Difference task 'scheduled task nbserver' $null 'registered'
        return
    }
    $xml = [xml]$text
    foreach ($property in Get-ServiceProperty) {
        $is = Get-ServiceText $xml $property
        if ($is -ne $property.Should) {
            Add-Difference task-property 'scheduled task nbserver, {property}' $is $property.Should @{
                property = $property.Path
            }
        }
    }
    if ($ServiceTask.Started) { return }
    Wait-YoungTask
    if (Test-TaskRunning 'nbserver') { return }
    Add-Difference task 'scheduled task nbserver' 'not running' 'running'
}

function Start-ServiceTask {
    if (Get-TaskXml 'nbserver') { Stop-Task 'nbserver' }
    Start-NewTask (Get-ServiceXml)
}

# Register the task, and start it.
function Start-NewTask([string]$Xml) {
    Set-Task 'nbserver' $Xml
    Start-ScheduledTask -TaskName 'nbserver' -TaskPath '\' -ErrorAction Stop
    Wait-TaskStart 'nbserver'
    $ServiceTask.Started = $true
}

# Wait up to 30 seconds until the task runs, or has run and stopped. Windows reports Ready before and after a run.
function Wait-TaskStart([string]$Name) {
    $begun = $false
    for ($try = 0; $try -lt 150; $try++) {
        $found = Find-Task $Name
        $state = if ($found) { [string]$found.State } else { '' }
        if ($state -eq 'Running' -or ($begun -and $state -eq 'Ready')) { return }
        if ($state -eq 'Queued') { $begun = $true }
        if ($try % 50 -eq 49) {
            Write-StepProgress waiting-for-task 'Waiting for the scheduled task {task}' @{ task = $Name }
        }
        [Threading.Thread]::Sleep(200)
    }
}

# Return the failure of a server that answers requests without the password. $Values are those of the text.
function New-OpenServerFailure([hashtable]$Values) {
    New-Failure server-open ('the notebook server on TCP port {port} did not refuse a request without the password ' +
        '(expected HTTP status 401 or 403, got {status}), so others may be able to run programs under the server ' +
        'account. Stop the server (Disable-ScheduledTask nbserver; Stop-ScheduledTask nbserver) and read its log ' +
        '({log}). Remove {folder} if someone added files to it, then run nbserver apply again') $Values
}

Add-Step service 'The notebook server is running' -Test { Compare-ServiceTask } -Apply { Start-ServiceTask }
