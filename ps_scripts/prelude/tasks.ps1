# ---- prelude: scheduled tasks, as their XML ------------------------------------------------------------

# The task's XML, or nothing.
function Get-TaskXml([string]$Name) {
    if (Get-ScheduledTask -TaskName $Name -TaskPath '\' -ErrorAction SilentlyContinue) { [string](Export-ScheduledTask -TaskName $Name -TaskPath '\') }
}

# The text of an element of the task, whatever namespace prefix Windows writes; nothing where it is missing.
function Get-TaskText([xml]$Xml, [string]$Path) {
    $node = $Xml.SelectSingleNode('/*/' + (@($Path -split '/' | ForEach-Object { "*[local-name()='$_']" }) -join '/'))
    if ($node) { $node.InnerText }
}

# Windows keeps the password of such a task and gives it to nobody: without it the task cannot be registered again.
function Test-StoredPassword([xml]$Xml) { 'Password', 'InteractiveTokenOrPassword' -contains (Get-TaskText $Xml 'Principals/Principal/LogonType') }

function Set-Task([string]$Name, [string]$Xml) {
    Save-Before 'task' $Name (Get-TaskXml $Name)
    Register-NewTask $Name $Xml
}

# A task that is replaced (-Force) keeps its permissions, and with them those of whoever registered it: one that is
# there is removed first. Should somebody register another one in between, this fails.
function Register-NewTask([string]$Name, [string]$Xml) {
    if (Get-TaskXml $Name) { Unregister-ScheduledTask -TaskName $Name -TaskPath '\' -Confirm:$false }
    [void](Register-ScheduledTask -TaskName $Name -TaskPath '\' -Xml $Xml)
}

$Restore.task = {
    param($Name, $Before)
    if ($Before) { Register-NewTask $Name $Before; return }
    if (-not (Get-TaskXml $Name)) { return }
    Stop-Task $Name
    Unregister-ScheduledTask -TaskName $Name -TaskPath '\' -Confirm:$false
}

# Kind task_state: whether a task is enabled, and whether it runs. Unlike kind task it needs no password: a
# task that was made with one could not be registered again. Its name comes with its folder, \FOLDER\NAME.
function Save-TaskState([string]$FullName) {
    $task = Get-NamedTask $FullName
    Save-Before 'task_state' $FullName @{ Enabled = [string]$task.State -ne 'Disabled'; Running = [string]$task.State -eq 'Running' }
}

function Disable-Task([string]$FullName) {
    Save-TaskState $FullName
    $task = Get-NamedTask $FullName
    [void](Disable-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath)
    Stop-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath
}

function Get-NamedTask([string]$FullName) {
    $at = $FullName.LastIndexOf([char]'\') + 1
    Get-ScheduledTask -TaskName $FullName.Substring($at) -TaskPath $FullName.Substring(0, $at) -ErrorAction SilentlyContinue
}

$Restore.task_state = {
    param($FullName, $Before)
    $task = Get-NamedTask $FullName
    if (-not $task) { return }   # somebody has removed it since
    if ($Before.Enabled -and [string]$task.State -eq 'Disabled') { [void](Enable-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath) }
    if ($Before.Running -and [string]$task.State -ne 'Running') { Start-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath }
}

# A server's kernels are processes of their own and can outlive its task: when the task runs a program from
# our folder, whatever else runs from there is ended too.
function Stop-Task([string]$Name) {
    Stop-ScheduledTask -TaskName $Name -TaskPath '\'
    if ((Get-TaskXml $Name) -clike "*<Command>$Programs\*") { Stop-ProcessBelow $Programs }
}

# Undo goes backwards, and what was installed last may be what a task runs from: tasks are ended first.
function Stop-RecordedTask {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -eq 'task' -and (Get-TaskXml $line.key)) { Stop-Task $line.key }
    }
}

function Protect-Xml([string]$Text) {
    [Security.SecurityElement]::Escape($Text)
}

# An open bracket must not outlive a run that was cut off: until it is closed, a startup task holds the
# literal commands which put the registry value back and then remove the task. No file is involved.
function Add-ClosingTask([string]$Path, [string]$Name) {
    $before = Get-RegistryValue $Path $Name
    if (-not $before -or $before.type -ne 'DWord') { throw "$Path\$Name is not a DWORD: no startup task can put it back" }
    $task = "nbserver-close-$($Run.Step)"
    $key = Protect-Xml ($Path -creplace '^HKLM:', 'HKLM')
    Set-Task $task @"
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>nbserver: puts $(Protect-Xml $Name) back after a run that was cut off</Description></RegistrationInfo>
  <Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
  <Principals><Principal id="Author"><UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel></Principal></Principals>
  <Settings><DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries><StopIfGoingOnBatteries>false</StopIfGoingOnBatteries></Settings>
  <Actions Context="Author">
    <Exec><Command>%SystemRoot%\System32\reg.exe</Command><Arguments>add "$key" /v "$(Protect-Xml $Name)" /t REG_DWORD /d $($before.value) /f</Arguments></Exec>
    <Exec><Command>%SystemRoot%\System32\schtasks.exe</Command><Arguments>/delete /tn "$task" /f</Arguments></Exec>
  </Actions>
</Task>
"@
}
