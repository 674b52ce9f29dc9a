# The ScheduledTasks cmdlets that scripts use. A task is a file in C:\windows\system32\Tasks, its XML, as on Windows.
# tests/boxes/task_scheduler.py starts and ends what it says: a process started here would end with the session. The two
# talk through C:\nbserver-test\tasks: ID.request (start NAME or stop NAME; removed once taken) and NAME.state (Queued, Running or Ready).
# NAME.registered has who registered a task first: -Force leaves them their rights, and only a removal takes these away.
. "$PSScriptRoot\task_xml.ps1"

function global:Get-StandInTaskFile([string]$TaskName) {
    [void][IO.Directory]::CreateDirectory('C:\windows\system32\Tasks')
    "C:\windows\system32\Tasks\$TaskName"
}

function global:Get-StandInTaskOwner([string]$TaskName) { Join-Path (Get-StandInFolder 'tasks') "$TaskName.registered" }

function global:Read-StandInTask([string]$File) {
    $xml = New-Object System.Xml.XmlDocument
    $xml.PreserveWhitespace = $true
    $xml.Load($File)
    $xml
}

function global:Test-StandInTask($Cmdlet, [string]$TaskName) {
    if ([IO.File]::Exists((Get-StandInTaskFile $TaskName))) { return $true }
    $text = "No MSFT_ScheduledTask objects found with property 'TaskName' equal to '$TaskName'.  Verify the value of the property and retry."
    $Cmdlet.WriteError((New-StandInError $text "CmdletizationQuery_NotFound_TaskName" 'ObjectNotFound' $TaskName))
    $false
}

function global:Get-StandInTaskState([string]$TaskName) {
    $file = Join-Path (Get-StandInFolder 'tasks') "$TaskName.state"
    if ([IO.File]::Exists($file)) {
        $state = [IO.File]::ReadAllText($file)
        if ($state -ne 'Ready') { return $state }
    }
    $xml = Read-StandInTask (Get-StandInTaskFile $TaskName)
    $enabled = $xml.SelectSingleNode('/*/*[local-name()="Settings"]/*[local-name()="Enabled"]')
    if ($enabled -and $enabled.InnerText.Trim() -eq 'false') { 'Disabled' } else { 'Ready' }
}

function global:Send-StandInTaskRequest($Cmdlet, [string]$TaskName, [string]$Request) {
    $file = Join-Path (Get-StandInFolder 'tasks') "$([Guid]::NewGuid()).request" # one of its own: what is not replaced cannot vanish meanwhile
    Write-StandInFile $file "$Request $TaskName" (New-Object Text.UTF8Encoding $false)
    $until = [DateTime]::UtcNow.AddSeconds(120)
    while ([IO.File]::Exists($file)) {
        if ([DateTime]::UtcNow -gt $until) {
            [IO.File]::Delete($file)
            $text = "The service has not been started: nothing takes the requests in $(Split-Path $file)."
            $Cmdlet.WriteError((New-StandInError $text 'HRESULT 0x80070426' 'ResourceUnavailable' $TaskName))
            return
        }
        Start-Sleep -Milliseconds 20
    }
}

function global:New-StandInTask([string]$TaskName) {
    $actions = foreach ($exec in @((Read-StandInTask (Get-StandInTaskFile $TaskName)).SelectNodes('//*[local-name()="Exec"]'))) {
        $texts = @{ Command = ''; Arguments = $null; WorkingDirectory = $null }
        foreach ($node in $exec.ChildNodes) { if ($texts.ContainsKey($node.LocalName)) { $texts[$node.LocalName] = $node.InnerText } }
        New-Object psobject -Property @{ Execute = $texts.Command; Arguments = $texts.Arguments; WorkingDirectory = $texts.WorkingDirectory }
    }
    $task = New-Object psobject -Property @{ TaskName = $TaskName; TaskPath = '\'; URI = "\$TaskName"; State = Get-StandInTaskState $TaskName; Actions = @($actions) }
    $task.PSObject.TypeNames.Insert(0, 'Microsoft.Management.Infrastructure.CimInstance#Root/Microsoft/Windows/TaskScheduler/MSFT_ScheduledTask')
    $task
}

function global:Register-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [string]$TaskName, [string]$TaskPath = '\', [Parameter(Mandatory = $true)] [string]$Xml, [switch]$Force)
    $file = Get-StandInTaskFile $TaskName
    if ([IO.File]::Exists($file) -and -not $Force) {
        $text = 'Cannot create a file when that file already exists.'
        $PSCmdlet.WriteError((New-StandInError $text 'HRESULT 0x800700b7' 'ResourceExists' $TaskName))
        return
    }
    $namespace = 'http://schemas.microsoft.com/windows/2004/02/mit/task'
    $task = New-Object System.Xml.XmlDocument
    try { $task.LoadXml($Xml) }
    catch {
        $text = "The task XML is malformed. $($_.Exception.InnerException.Message)"
        $PSCmdlet.WriteError((New-StandInError $text 'HRESULT 0x8004131a' 'InvalidData' $TaskName))
        return
    }
    $names = New-Object System.Xml.XmlNamespaceManager $task.NameTable
    $names.AddNamespace('t', $namespace)
    if (-not $task.SelectSingleNode('/t:Task/t:Actions/t:Exec/t:Command', $names)) {
        $text = 'The task XML is missing a required element or attribute. (Task, Actions, Exec, Command)'
        $PSCmdlet.WriteError((New-StandInError $text 'HRESULT 0x80041319' 'InvalidData' $TaskName))
        return
    }
    # Such a task needs its password with it, which no XML has.
    $logon = $task.SelectSingleNode('/t:Task/t:Principals/t:Principal/t:LogonType', $names)
    if ($logon -and $logon.InnerText -in 'Password', 'InteractiveTokenOrPassword') {
        $PSCmdlet.WriteError((New-StandInError 'The user name or password is incorrect.' 'HRESULT 0x8007052e' 'AuthenticationError' $TaskName))
        return
    }
    $info = $task.SelectSingleNode('/t:Task/t:RegistrationInfo', $names)
    if (-not $info) { $info = $task.DocumentElement.PrependChild($task.CreateElement('RegistrationInfo', $namespace)) }
    $uri = $info.SelectSingleNode('t:URI', $names)
    if (-not $uri) { $uri = $info.AppendChild($task.CreateElement('URI', $namespace)) }
    $uri.InnerText = "\$TaskName"
    if (-not [IO.File]::Exists($file)) { Write-StandInFile (Get-StandInTaskOwner $TaskName) $env:USERNAME ([Text.Encoding]::Unicode) }
    Write-StandInFile $file (ConvertTo-StandInTaskText $task) ([Text.Encoding]::Unicode)
    New-StandInTask $TaskName
}

function global:Unregister-ScheduledTask {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([Parameter(Position = 0)] [string]$TaskName, [string]$TaskPath = '\', $InputObject)
    if ($InputObject) { $TaskName = $InputObject.TaskName }
    if (-not (Test-StandInTask $PSCmdlet $TaskName) -or -not $PSCmdlet.ShouldProcess($TaskName)) { return }
    [IO.File]::Delete((Get-StandInTaskFile $TaskName))
    [IO.File]::Delete((Get-StandInTaskOwner $TaskName))
}

function global:Export-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [string]$TaskName, [string]$TaskPath = '\')
    if (Test-StandInTask $PSCmdlet $TaskName) { [IO.File]::ReadAllText((Get-StandInTaskFile $TaskName)) }
}

function global:Get-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string[]]$TaskName, [string]$TaskPath = '\')
    if (-not $TaskName) { $TaskName = '*' }
    [string[]]$all = [IO.Directory]::GetFiles((Split-Path (Get-StandInTaskFile 'any'))) | ForEach-Object { [IO.Path]::GetFileName($_) } | Sort-Object
    foreach ($one in $TaskName) {
        if ([Management.Automation.WildcardPattern]::ContainsWildcardCharacters($one)) {
            foreach ($name in $all) { if ($name -like $one) { New-StandInTask $name } }
        }
        elseif (Test-StandInTask $PSCmdlet $one) { New-StandInTask $one }
    }
}

function global:Start-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [string]$TaskName, [string]$TaskPath = '\')
    if (-not (Test-StandInTask $PSCmdlet $TaskName)) { return }
    if ((Get-StandInTaskState $TaskName) -eq 'Disabled') {
        $text = 'The task is disabled.'
        $PSCmdlet.WriteError((New-StandInError $text 'HRESULT 0x80041326' 'InvalidOperation' $TaskName))
        return
    }
    Send-StandInTaskRequest $PSCmdlet $TaskName 'start'
}

function global:Stop-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [string]$TaskName, [string]$TaskPath = '\')
    if (Test-StandInTask $PSCmdlet $TaskName) { Send-StandInTaskRequest $PSCmdlet $TaskName 'stop' }
}

# Settings/Enabled of the task's file, as the service writes it; a task that runs goes on running.
function global:Set-StandInTaskEnabled($Cmdlet, [string]$TaskName, [string]$Enabled) {
    if (-not (Test-StandInTask $Cmdlet $TaskName)) { return }
    $file = Get-StandInTaskFile $TaskName
    $xml = New-Object System.Xml.XmlDocument
    $xml.Load($file)
    $namespace = 'http://schemas.microsoft.com/windows/2004/02/mit/task'
    $settings = $xml.SelectSingleNode('/*/*[local-name()="Settings"]')
    if (-not $settings) { $settings = $xml.DocumentElement.AppendChild($xml.CreateElement('Settings', $namespace)) }
    $node = $settings.SelectSingleNode('*[local-name()="Enabled"]')
    if (-not $node) { $node = $settings.AppendChild($xml.CreateElement('Enabled', $namespace)) }
    $node.InnerText = $Enabled
    Write-StandInFile $file (ConvertTo-StandInTaskText $xml) ([Text.Encoding]::Unicode)
    New-StandInTask $TaskName
}

function global:Disable-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [string]$TaskName, [string]$TaskPath = '\')
    Set-StandInTaskEnabled $PSCmdlet $TaskName 'false'
}

function global:Enable-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [string]$TaskName, [string]$TaskPath = '\')
    Set-StandInTaskEnabled $PSCmdlet $TaskName 'true'
}
