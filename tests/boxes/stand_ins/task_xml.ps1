# A task's XML as the service writes it: from its own model, not as it was registered. Elements that equal the schema's default are
# left out, others are filled in, and the order is the service's own. Exports of Windows 10 differ in what they leave out;
# this one leaves out whatever has a documented default. Sources: "Task Scheduler Schema" and, for ProcessTokenSidType,
# "Task Security Hardening" on learn.microsoft.com.

$global:StandInTaskOrder = 'RegistrationInfo', 'Principals', 'Settings', 'Triggers', 'Actions',   # of Task
'Description', 'URI',                                                                             # of RegistrationInfo
'StartBoundary', 'Repetition',                                                                    # of triggers
'DisallowStartIfOnBatteries', 'StopIfGoingOnBatteries', 'ExecutionTimeLimit', 'MultipleInstancesPolicy', 'Enabled',
'RestartOnFailure', 'StartWhenAvailable', 'IdleSettings', 'Count', 'Interval', 'StopOnIdleEnd', 'RestartOnIdle'

# Parent of an element -> the elements with a default. '*Trigger' are all triggers.
$global:StandInTaskDefaults = @{
    Principal = @{ RunLevel = 'LeastPrivilege'; ProcessTokenSidType = 'Unrestricted' }
    '*Trigger' = @{ Enabled = 'true'; ExecutionTimeLimit = 'PT72H'; Delay = 'PT0M'; RandomDelay = 'PT0M' }
    Repetition = @{ StopAtDurationEnd = 'false' }
    IdleSettings = @{ Duration = 'PT10M'; WaitTimeout = 'PT1H' }
    Settings = @{
        AllowStartOnDemand = 'true'; AllowHardTerminate = 'true'; StartWhenAvailable = 'false'; RunOnlyIfNetworkAvailable = 'false'
        WakeToRun = 'false'; Enabled = 'true'; Hidden = 'false'; DeleteExpiredTaskAfter = 'PT0S'; ExecutionTimeLimit = 'PT72H'
        Priority = '7'; RunOnlyIfIdle = 'false'; UseUnifiedSchedulingEngine = 'false'; DisallowStartOnRemoteAppSession = 'false'
    }
}

# What is in each task, whether or not it was registered with it.
$global:StandInTaskFilledIn = @{
    Settings = @{ DisallowStartIfOnBatteries = 'true'; StopIfGoingOnBatteries = 'true'; MultipleInstancesPolicy = 'IgnoreNew'; IdleSettings = '' }
    IdleSettings = @{ StopOnIdleEnd = 'true'; RestartOnIdle = 'false' }
}

function global:ConvertTo-StandInTaskText([xml]$Task) {
    $root = $Task.DocumentElement
    if (-not $root.SelectSingleNode('*[local-name()="Settings"]')) { [void]$root.AppendChild($Task.CreateElement('Settings', $root.NamespaceURI)) }
    Update-StandInTaskElement $root
    $settings = New-Object System.Xml.XmlWriterSettings
    $settings.Indent = $true
    $settings.OmitXmlDeclaration = $true
    $text = New-Object Text.StringBuilder
    $writer = [Xml.XmlWriter]::Create($text, $settings)
    $Task.Save($writer)
    $writer.Close()
    "<?xml version=`"1.0`" encoding=`"UTF-16`"?>`r`n$text"
}

function global:Update-StandInTaskElement([Xml.XmlElement]$Element) {
    $kind = $Element.LocalName
    if ($global:StandInTaskFilledIn.ContainsKey($kind)) { Add-StandInTaskElement $Element $global:StandInTaskFilledIn[$kind] }
    if ($kind -like '?*Trigger') { $kind = '*Trigger' }
    $defaults = @{}
    if ($global:StandInTaskDefaults.ContainsKey($kind)) { $defaults = $global:StandInTaskDefaults[$kind] }
    $children = @($Element.ChildNodes | Where-Object { $_ -is [Xml.XmlElement] })
    foreach ($child in $children) {
        if ($defaults[$child.LocalName] -ceq $child.InnerText.Trim()) { [void]$Element.RemoveChild($child) }
        else { Update-StandInTaskElement $child }
    }
    if ($kind -notin 'Triggers', 'Actions', 'Exec') { Set-StandInTaskOrder $Element }   # several triggers and actions keep their own
}

function global:Add-StandInTaskElement([Xml.XmlElement]$Element, [hashtable]$Texts) {
    foreach ($name in $Texts.Keys | Sort-Object) {
        if ($Element.SelectSingleNode("*[local-name()='$name']")) { continue }
        $new = $Element.OwnerDocument.CreateElement($name, $Element.NamespaceURI)
        if ($Texts[$name]) { $new.InnerText = $Texts[$name] }
        [void]$Element.AppendChild($new)
    }
}

function global:Set-StandInTaskOrder([Xml.XmlElement]$Element) {
    $children = @($Element.ChildNodes | Where-Object { $_ -is [Xml.XmlElement] })
    foreach ($name in $global:StandInTaskOrder) {
        foreach ($child in $children) { if ($child.LocalName -ceq $name) { [void]$Element.AppendChild($child) } }
    }
    foreach ($child in $children) { if ($child.LocalName -cnotin $global:StandInTaskOrder) { [void]$Element.AppendChild($child) } }
    # An element that has become empty is written as <BootTrigger />.
    if ($children.Count -eq 0 -and -not $Element.InnerText) { $Element.IsEmpty = $true }
}
