# The NetSecurity cmdlets that scripts use. A rule is a file C:\nbserver-test\firewall\NAME.json. Nothing is filtered.
# While C:\nbserver-test\MpsSvc.txt says Stopped, the firewall's service does not run, and each of them fails as on Windows.

function global:Get-StandInFirewallStatus {
    $file = Join-Path (Split-Path (Get-StandInFolder 'firewall')) 'MpsSvc.txt'
    if ([IO.File]::Exists($file)) { [IO.File]::ReadAllText($file).Trim() } else { 'Running' }
}

function global:Test-StandInFirewall($Cmdlet) {
    if ((Get-StandInFirewallStatus) -eq 'Running') { return $true }
    $text = 'There are no more endpoints available from the endpoint mapper.'
    $Cmdlet.WriteError((New-StandInError $text 'Windows System Error 1753' 'NotSpecified' $null))
    $false
}

function global:Get-StandInRuleFile([string]$Name) {
    Join-Path (Get-StandInFolder 'firewall') "$Name.json"
}

function global:ConvertTo-StandInAddress([string[]]$Address) {
    foreach ($one in $Address) {  # Windows keeps an IPv4 network with its mask written out
        if ($one -match '^([\d.]+)/(\d+)$') {
            $bits = [uint32]([Math]::Pow(2, 32) - [Math]::Pow(2, 32 - [int]$Matches[2]))
            $mask = [BitConverter]::GetBytes($bits); [Array]::Reverse($mask)
            if ([int]$Matches[2] -eq 32) { $Matches[1] } else { "$($Matches[1])/$($mask -join '.')" }
        }
        else { $one }
    }
}

function global:Write-StandInRule($Rule) {
    Write-StandInFile (Get-StandInRuleFile $Rule.Name) (ConvertTo-Json $Rule) (New-Object Text.UTF8Encoding $false)
}

function global:Read-StandInRule([string]$File) {
    $rule = [IO.File]::ReadAllText($File) | ConvertFrom-Json
    $rule.PSObject.TypeNames.Insert(0, 'Microsoft.Management.Infrastructure.CimInstance#root/standardcimv2/MSFT_NetFirewallRule')
    $rule
}

# One value stays one value, several stay a list, as the filters' properties are.
function global:Get-StandInList([object[]]$Value) {
    if ($Value.Count -eq 1) { "$($Value[0])" } else { , [string[]]$Value }
}

# What narrows a rule further, and stands in its file only where somebody has set it.
$global:StandInFilters = @{
    Program = 'Any'; Service = 'Any'; LocalAddress = 'Any'; RemotePort = 'Any'; InterfaceType = 'Any'; InterfaceAlias = 'Any'
    LocalUser = 'Any'; RemoteUser = 'Any'; RemoteMachine = 'Any'; Authentication = 'NotRequired'; Encryption = 'NotRequired'
}

function global:Get-StandInFilter($Rule, [string[]]$Name) {
    $rule = Read-StandInRule (Get-StandInRuleFile $Rule.Name)
    $filter = @{ InstanceID = $rule.Name }
    foreach ($one in $Name) {
        $filter[$one] = $global:StandInFilters[$one]
        if ($rule.PSObject.Properties[$one]) { $filter[$one] = Get-StandInList $rule.$one }
    }
    New-Object psobject -Property $filter
}

# The rule as Get-NetFirewallRule shows it: ports and addresses are the filters' matter.
function global:Select-StandInRule($Rule) {
    $shown = $Rule | Select-Object -Property Name, DisplayName, Description, DisplayGroup, Group, Enabled, Profile, Direction, Action
    $shown | Add-Member -NotePropertyName InstanceID -NotePropertyValue $Rule.Name -PassThru
}

function global:Find-StandInRule($Cmdlet, [string]$Property, [string[]]$Value) {
    if (-not (Test-StandInFirewall $Cmdlet)) { return }
    $rules = @([IO.Directory]::GetFiles((Get-StandInFolder 'firewall'), '*.json') | Sort-Object | ForEach-Object { Read-StandInRule $_ })
    if (-not $Value) { return $rules }
    foreach ($one in $Value) {
        $found = @($rules | Where-Object { $_.$Property -like $one })
        if ($found) { $found; continue }
        if ([Management.Automation.WildcardPattern]::ContainsWildcardCharacters($one)) { continue }
        $shown = if ($Property -eq 'Name') { 'InstanceID' } else { $Property }
        $text = "No MSFT_NetFirewallRule objects found with property '$shown' equal to '$one'.  Verify the value of the property and retry."
        $Cmdlet.WriteError((New-StandInError $text "CmdletizationQuery_NotFound_$shown" 'ObjectNotFound' $one))
    }
}

function global:New-NetFirewallRule {
    [CmdletBinding()]
    param(
        [string]$Name = [guid]::NewGuid().ToString('B'), [Parameter(Mandatory = $true)] [string]$DisplayName,
        [string]$Group = '', [string]$Description = '',
        [ValidateSet('True', 'False')] [string]$Enabled = 'True',
        [ValidateSet('Inbound', 'Outbound')] [string]$Direction = 'Inbound',
        [ValidateSet('Allow', 'Block')] [string]$Action = 'Allow',
        [string]$Protocol = 'Any', [string[]]$LocalPort = 'Any', [string[]]$RemoteAddress = 'Any', [string]$Profile = 'Any'
    )
    if (-not (Test-StandInFirewall $PSCmdlet)) { return }
    if ([IO.File]::Exists((Get-StandInRuleFile $Name))) {
        $text = 'Cannot create a file when that file already exists.'
        $PSCmdlet.WriteError((New-StandInError $text 'Windows System Error 183' 'ResourceExists' $Name))
        return
    }
    if ($LocalPort -ne 'Any' -and $Protocol -notin 'TCP', 'UDP', '6', '17') {
        $text = 'A port number was provided, but the protocol does not support ports.'
        $PSCmdlet.WriteError((New-StandInError $text 'HRESULT 0x80070057' 'InvalidArgument' $Name))
        return
    }
    $rule = New-Object psobject -Property @{
        Name = $Name; DisplayName = $DisplayName; Group = $Group; DisplayGroup = $Group; Description = $Description
        Enabled = $Enabled; Direction = $Direction; Action = $Action; Protocol = $Protocol.ToUpperInvariant().Replace('ANY', 'Any')
        LocalPort = @($LocalPort); RemoteAddress = @(ConvertTo-StandInAddress $RemoteAddress); Profile = $Profile
    }
    Write-StandInRule $rule
    Select-StandInRule (Read-StandInRule (Get-StandInRuleFile $Name))
}

function global:Get-NetFirewallRule {
    [CmdletBinding(DefaultParameterSetName = 'All')]
    param(
        [Parameter(ParameterSetName = 'ByName', Position = 0)] [string[]]$Name,
        [Parameter(ParameterSetName = 'ByDisplayName')] [string[]]$DisplayName,
        [Parameter(ParameterSetName = 'ByGroup')] [string[]]$Group
    )
    $property = $PSCmdlet.ParameterSetName -replace '^By'
    $value = switch ($property) { 'Name' { $Name } 'DisplayName' { $DisplayName } 'Group' { $Group } }
    foreach ($rule in @(Find-StandInRule $PSCmdlet $property $value)) { Select-StandInRule $rule }
}

function global:Set-NetFirewallRule {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory = $true, Position = 0)] [string[]]$Name, [string]$NewDisplayName, [string]$Description,
        [ValidateSet('True', 'False')] [string]$Enabled, [ValidateSet('Inbound', 'Outbound')] [string]$Direction,
        [ValidateSet('Allow', 'Block')] [string]$Action, [string]$Protocol, [string[]]$LocalPort, [string[]]$RemoteAddress,
        [string]$Profile, [string]$Program, [string]$Service, [string[]]$LocalAddress, [string[]]$RemotePort,
        [ValidateSet('Any', 'Wired', 'Wireless', 'RemoteAccess')] [string]$InterfaceType, [string[]]$InterfaceAlias,
        [string]$LocalUser, [string]$RemoteUser, [string]$RemoteMachine,
        [ValidateSet('NotRequired', 'Required', 'NoEncap')] [string]$Authentication,
        [ValidateSet('NotRequired', 'Required', 'Dynamic')] [string]$Encryption
    )
    foreach ($rule in @(Find-StandInRule $PSCmdlet 'Name' $Name)) {
        foreach ($key in $global:StandInFilters.Keys) {
            if (-not $PSBoundParameters.ContainsKey($key)) { continue }
            $rule.PSObject.Properties.Remove($key)
            if ("$($PSBoundParameters[$key])" -eq $global:StandInFilters[$key]) { continue }
            $value = $PSBoundParameters[$key]
            if ($key -eq 'LocalAddress') { $value = @(ConvertTo-StandInAddress $LocalAddress) }
            $rule | Add-Member -NotePropertyName $key -NotePropertyValue $value
        }
        foreach ($key in 'Description', 'Enabled', 'Direction', 'Action', 'LocalPort', 'Profile') {
            if ($PSBoundParameters.ContainsKey($key)) { $rule.$key = $PSBoundParameters[$key] }
        }
        if ($PSBoundParameters.ContainsKey('NewDisplayName')) { $rule.DisplayName = $NewDisplayName }
        if ($PSBoundParameters.ContainsKey('Protocol')) { $rule.Protocol = $Protocol.ToUpperInvariant().Replace('ANY', 'Any') }
        if ($PSBoundParameters.ContainsKey('RemoteAddress')) { $rule.RemoteAddress = @(ConvertTo-StandInAddress $RemoteAddress) }
        Write-StandInRule $rule
    }
}

function global:Remove-NetFirewallRule {
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([Parameter(Mandatory = $true, Position = 0)] [string[]]$Name)
    foreach ($rule in @(Find-StandInRule $PSCmdlet 'Name' $Name)) {
        if ($PSCmdlet.ShouldProcess($rule.Name)) { [IO.File]::Delete((Get-StandInRuleFile $rule.Name)) }
    }
}

function global:Get-NetFirewallPortFilter {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, ValueFromPipeline = $true, ParameterSetName = 'ByRule')] $AssociatedNetFirewallRule,
        [Parameter(Mandatory = $true, ParameterSetName = 'ByQuery')] [string[]]$Protocol)
    process {
        $rules = if ($Protocol) { Find-StandInRule $PSCmdlet 'Protocol' $Protocol } else { Read-StandInRule (Get-StandInRuleFile $AssociatedNetFirewallRule.Name) }
        foreach ($rule in @($rules)) { New-Object psobject -Property @{
            InstanceID = $rule.Name; Protocol = $rule.Protocol; LocalPort = Get-StandInList $rule.LocalPort
            RemotePort = (Get-StandInFilter $rule 'RemotePort').RemotePort
        } }
    }
}

function global:Get-NetFirewallAddressFilter {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, ValueFromPipeline = $true)] $AssociatedNetFirewallRule)
    process {
        $rule = Read-StandInRule (Get-StandInRuleFile $AssociatedNetFirewallRule.Name)
        New-Object psobject -Property @{
            InstanceID = $rule.Name; LocalAddress = (Get-StandInFilter $rule 'LocalAddress').LocalAddress; RemoteAddress = Get-StandInList $rule.RemoteAddress
        }
    }
}

function global:Get-NetFirewallApplicationFilter {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, ValueFromPipeline = $true)] $AssociatedNetFirewallRule)
    process { Get-StandInFilter $AssociatedNetFirewallRule 'Program' }
}

function global:Get-NetFirewallServiceFilter {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, ValueFromPipeline = $true)] $AssociatedNetFirewallRule)
    process { Get-StandInFilter $AssociatedNetFirewallRule 'Service' }
}

function global:Get-NetFirewallInterfaceTypeFilter {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, ValueFromPipeline = $true)] $AssociatedNetFirewallRule)
    process { Get-StandInFilter $AssociatedNetFirewallRule 'InterfaceType' }
}

function global:Get-NetFirewallInterfaceFilter {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, ValueFromPipeline = $true)] $AssociatedNetFirewallRule)
    process { Get-StandInFilter $AssociatedNetFirewallRule 'InterfaceAlias' }
}

function global:Get-NetFirewallSecurityFilter {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, ValueFromPipeline = $true)] $AssociatedNetFirewallRule)
    process { Get-StandInFilter $AssociatedNetFirewallRule 'LocalUser', 'RemoteUser', 'RemoteMachine', 'Authentication', 'Encryption' }
}
