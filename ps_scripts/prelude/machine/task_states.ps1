# ---- prelude: task_states --------------------------------------------------------------------------
# Disable scheduled tasks of other programs, and enable and start them in undo.

# The record has only whether the task is enabled and whether it runs, so undo needs no password. The name of a task
# contains its folder: \FOLDER\NAME.

# Return the task, or nothing if it does not exist.
function Get-NamedTask([string]$FullName) {
    $start = $FullName.LastIndexOf([char]'\') + 1
    Find-Task $FullName.Substring($start) $FullName.Substring(0, $start)
}

function Save-TaskState([string]$FullName) {
    $state = [string](Get-NamedTask $FullName).State
    Save-Before 'task_state' $FullName @{ Enabled = $state -ne 'Disabled'; Running = $state -eq 'Running' }
}

# The task is disabled first, so that nothing starts it again.
function Disable-Task([string]$FullName) {
    Save-TaskState $FullName
    $task = Get-NamedTask $FullName
    [void](Disable-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath -ErrorAction Stop)
    Stop-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath -ErrorAction Stop
}

$Restore.task_state = {
    param($FullName, $Before)
    $task = Get-NamedTask $FullName
    if (-not $task) { return }                           # it was removed since
    $state = [string]$task.State
    if ($Before.Enabled -and $state -eq 'Disabled') {
        [void](Enable-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath -ErrorAction Stop)
    }
    if ($Before.Running -and $state -ne 'Running') {
        Start-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath -ErrorAction Stop
    }
}
