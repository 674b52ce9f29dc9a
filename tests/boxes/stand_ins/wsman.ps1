# Get-WSManInstance, for the two resources that scripts ask for: command shells, and the endpoint of PowerShell. The limits are 2048 MB,
# as on a server, or what stands in C:\nbserver-test\MaxMemoryPerShellMB.txt and EndpointMemoryMB.txt.

function global:Get-WSManInstance {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0)] [uri]$ResourceURI, [hashtable]$SelectorSet = @{})
    $isEndpoint = "$ResourceURI" -eq 'winrm/config/plugin' -and $SelectorSet.Name -eq 'Microsoft.PowerShell'
    if (-not $isEndpoint -and "$ResourceURI" -ne 'winrm/config/winrs') {
        $text = "The stand-in for Get-WSManInstance knows winrm/config/winrs and winrm/config/plugin only, not $ResourceURI."
        $PSCmdlet.ThrowTerminatingError((New-StandInError $text 'WsManError' 'InvalidOperation' $ResourceURI))
    }
    $memory = '2048'
    $file = if ($isEndpoint) { 'C:\nbserver-test\EndpointMemoryMB.txt' } else { 'C:\nbserver-test\MaxMemoryPerShellMB.txt' }
    if ([IO.File]::Exists($file)) { $memory = [IO.File]::ReadAllText($file).Trim() }
    $xml = New-Object System.Xml.XmlDocument
    if ($isEndpoint) {
        $xml.LoadXml("<PlugInConfiguration xmlns='http://schemas.microsoft.com/wbem/wsman/1/config/PluginConfiguration' Name='Microsoft.PowerShell'>" +
            "<Quotas MaxMemoryPerShellMB='$memory' MaxShellsPerUser='25' MaxProcessesPerShell='15'/></PlugInConfiguration>")
        return , $xml.DocumentElement
    }
    $xml.LoadXml("<cfg:Winrs xmlns:cfg=`"http://schemas.microsoft.com/wbem/wsman/1/config/winrs`" xml:lang=`"en-US`">" +
        "<cfg:AllowRemoteShellAccess>true</cfg:AllowRemoteShellAccess><cfg:IdleTimeout>7200000</cfg:IdleTimeout>" +
        "<cfg:MaxConcurrentUsers>2147483647</cfg:MaxConcurrentUsers><cfg:MaxShellRunTime>2147483647</cfg:MaxShellRunTime>" +
        "<cfg:MaxProcessesPerShell>2147483647</cfg:MaxProcessesPerShell><cfg:MaxMemoryPerShellMB>$memory</cfg:MaxMemoryPerShellMB>" +
        "<cfg:MaxShellsPerUser>2147483647</cfg:MaxShellsPerUser></cfg:Winrs>")
    , $xml.DocumentElement
}
