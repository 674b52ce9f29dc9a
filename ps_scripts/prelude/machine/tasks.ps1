# ---- prelude: tasks --------------------------------------------------------------------------------
# Register, stop, and remove scheduled tasks, which are recorded as XML.

$TaskFiles = "$env:SystemRoot\System32\Tasks"           # Windows keeps each task in a file

# Return the task, or nothing if it does not exist. $Folder is its path, such as \. Windows looks for it among the tasks
# of all programs, so an error can be about another one, which is damaged (issue 3182 of crc-org/crc). An error says
# nothing about a task that was returned, or that has no file. Unregister-ScheduledTask would look in the same way, so
# it gets the task itself.
function Find-Task([string]$Name, [string]$Folder = '\') {
    $problems = @()
    $task = Get-ScheduledTask -TaskName $Name -TaskPath $Folder -ErrorAction SilentlyContinue -ErrorVariable problems
    if ($task) { return $task }
    if (-not [IO.File]::Exists("$TaskFiles$Folder$Name")) { return }
    foreach ($problem in $problems) {
        if ($problem.FullyQualifiedErrorId -clike 'CmdletizationQuery_NotFound*') { continue }   # only its file is left
        throw (New-Failure task-not-read ('Windows could not read the scheduled task {task}: {cause}. The reason may ' +
                'be a damaged task of another program. Delete or repair the task that Task Scheduler (taskschd.msc) ' +
                'reports as damaged, then try again') @{ task = "$Folder$Name" } -Cause $problem.Exception)
    }
}

# Return the XML of a task, or nothing.
function Get-TaskXml([string]$Name) {
    if (-not (Find-Task $Name)) { return }
    [string](Export-ScheduledTask -TaskName $Name -TaskPath '\' -ErrorAction Stop)
}

# Return the text of an element such as Actions/Exec/Command; or nothing. The prefix of its namespace varies.
function Get-TaskText([xml]$Xml, [string]$Path) {
    $steps = @($Path -split '/' | ForEach-Object { "*[local-name()='$_']" })
    $node = $Xml.SelectSingleNode('/*/' + ($steps -join '/'))
    if ($node) { $node.InnerText }
}

# Return true if Windows keeps a password for the task. It cannot be read, and the task cannot be registered without it.
function Test-StoredPassword([xml]$Xml) {
    'Password', 'InteractiveTokenOrPassword' -contains (Get-TaskText $Xml 'Principals/Principal/LogonType')
}

function Set-Task([string]$Name, [string]$Xml) {
    Save-Before 'task' $Name (Get-TaskXml $Name)
    Register-NewTask $Name $Xml
}

# A task that is replaced (-Force) keeps its access list, which whoever registered it has chosen: an existing task is
# removed first. If another one is registered between the two commands, the second one fails. If Windows refuses the new
# task, the previous one is registered again.
function Register-NewTask([string]$Name, [string]$Xml) {
    $previous = Get-TaskXml $Name
    if ($previous) { Unregister-ScheduledTask -InputObject (Find-Task $Name) -Confirm:$false -ErrorAction Stop }
    try { [void](Register-ScheduledTask -TaskName $Name -TaskPath '\' -Xml $Xml -ErrorAction Stop) }
    catch {
        if ($previous -and -not (Get-TaskXml $Name)) {
            [void](Register-ScheduledTask -TaskName $Name -TaskPath '\' -Xml $previous -ErrorAction Stop)
        }
        throw
    }
}

$Restore.task = {
    param($Name, $Before)
    if ($Before) {
        Register-NewTask $Name $Before
        return
    }
    if (-not (Get-TaskXml $Name)) { return }
    Stop-Task $Name
    Unregister-ScheduledTask -InputObject (Find-Task $Name) -Confirm:$false -ErrorAction Stop
}

# To stop a task that does not run is not an error. Source: [MS-TSCH] 3.2.5.4.12, SchRpcStop. Kernels can outlive their
# server: if the task runs a program in our folder, every process whose program is there is stopped.
function Stop-Task([string]$Name) {
    Stop-ScheduledTask -TaskName $Name -TaskPath '\' -ErrorAction Stop
    if ((Get-TaskXml $Name) -clike "*<Command>$Programs\*") { Stop-ProcessBelow $Programs }
}

# Undo starts with the newest change. What a task runs may be newer than the task: tasks are stopped first, and the
# server's is disabled, because its second trigger would start the server again.
function Stop-RecordedTask {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -eq 'task' -and $line.key -ne 'nbserver' -and (Get-TaskXml $line.key)) { Stop-Task $line.key }
    }
    Stop-Server
}

Add-Hook BeforeUndo { Stop-RecordedTask }

function Protect-Xml([string]$Text) {
    [Security.SecurityElement]::Escape($Text)
}
