# The stand-ins of a host in a box, with a task scheduler that does not answer questions about the task nbserver while
# C:\nbserver-test\hold exists. C:\nbserver-test\held then says that one was asked.
. "$PSScriptRoot\..\boxes\stand_ins\start.ps1"

Copy-Item -LiteralPath function:Get-ScheduledTask -Destination function:global:Get-AnsweredScheduledTask

function global:Get-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string[]]$TaskName, [string]$TaskPath = '\')
    while ($TaskName -contains 'nbserver' -and [IO.File]::Exists('C:\nbserver-test\hold')) {
        [IO.File]::WriteAllText('C:\nbserver-test\held', '')
        Start-Sleep -Milliseconds 20
    }
    Get-AnsweredScheduledTask @PSBoundParameters
}
