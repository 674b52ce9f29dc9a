$task = Get-ScheduledTask -TaskName nbserver -TaskPath '\'
$xml = [xml][string](Export-ScheduledTask -TaskName nbserver -TaskPath '\')
$should = @{
    'RegistrationInfo/Description' = $Description
    'Triggers/BootTrigger/Enabled' = 'true'
    'Triggers/TimeTrigger/Repetition/Interval' = 'PT5M'
    'Principals/Principal/UserId' = 'S-1-5-19'
    'Principals/Principal/RunLevel' = 'LeastPrivilege'
    'Principals/Principal/ProcessTokenSidType' = 'Unrestricted'
    'Settings/MultipleInstancesPolicy' = 'IgnoreNew'
    'Settings/DisallowStartIfOnBatteries' = 'false'
    'Settings/StopIfGoingOnBatteries' = 'false'
    'Settings/ExecutionTimeLimit' = 'PT0S'
    'Settings/Enabled' = 'true'
    'Settings/RestartOnFailure/Interval' = 'PT1M'
    'Actions/Exec/Command' = $Command
    'Actions/Exec/Arguments' = $Arguments
    'Actions/Exec/WorkingDirectory' = "$env:ProgramData\nbserver\work"
}
# The task scheduler leaves out what equals the schema's default.
$default = @{
    'Triggers/BootTrigger/Enabled' = 'true'
    'Principals/Principal/RunLevel' = 'LeastPrivilege'
    'Principals/Principal/ProcessTokenSidType' = 'Unrestricted'
    'Settings/MultipleInstancesPolicy' = 'IgnoreNew'
    'Settings/Enabled' = 'true'
}
foreach ($path in $should.Keys) {
    $node = $xml.SelectSingleNode('/*/' + (@($path -split '/' | ForEach-Object { "*[local-name()='$_']" }) -join '/'))
    $is = if ($node) { $node.InnerText } else { $default[$path] }
    if ($is -ne $should[$path]) { throw "task: $path" }
}
if ([string]$task.State -ne 'Running') { throw 'task does not run' }
