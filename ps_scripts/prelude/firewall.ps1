# ---- prelude: firewall rules, by their stable name; display names are localized and not unique ---------

# Filters that narrow a rule beyond its ports and remote addresses, and what stands there where they do not.
$RuleFilters = @{
    Program = 'Any'; Service = 'Any'; LocalAddress = 'Any'; RemotePort = 'Any'; InterfaceType = 'Any'; InterfaceAlias = 'Any'
    LocalUser = 'Any'; RemoteUser = 'Any'; RemoteMachine = 'Any'; Authentication = 'NotRequired'; Encryption = 'NotRequired'
}

# The rule's properties as texts, or nothing.
function Get-FirewallRule([string]$Name) {
    $rule = Get-NetFirewallRule -Name $Name -ErrorAction SilentlyContinue
    if (-not $rule) { return }
    $port = Get-NetFirewallPortFilter -AssociatedNetFirewallRule $rule
    $address = Get-NetFirewallAddressFilter -AssociatedNetFirewallRule $rule
    $security = Get-NetFirewallSecurityFilter -AssociatedNetFirewallRule $rule
    @{
        Enabled = [string]$rule.Enabled; Direction = [string]$rule.Direction; Action = [string]$rule.Action; Profile = [string]$rule.Profile
        Protocol = [string]$port.Protocol; LocalPort = @($port.LocalPort | ForEach-Object { [string]$_ })
        RemotePort = @($port.RemotePort | ForEach-Object { [string]$_ })
        LocalAddress = @($address.LocalAddress | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
        RemoteAddress = @($address.RemoteAddress | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
        Program = [string](Get-NetFirewallApplicationFilter -AssociatedNetFirewallRule $rule).Program
        Service = [string](Get-NetFirewallServiceFilter -AssociatedNetFirewallRule $rule).Service
        InterfaceType = [string](Get-NetFirewallInterfaceTypeFilter -AssociatedNetFirewallRule $rule).InterfaceType
        InterfaceAlias = @((Get-NetFirewallInterfaceFilter -AssociatedNetFirewallRule $rule).InterfaceAlias | ForEach-Object { [string]$_ })
        LocalUser = [string]$security.LocalUser; RemoteUser = [string]$security.RemoteUser; RemoteMachine = [string]$security.RemoteMachine
        Authentication = [string]$security.Authentication; Encryption = [string]$security.Encryption
    }
}

# Those of the filters that are in the rule otherwise than wanted, as parameters: an untouched one is not written.
function Get-FilterChanges($Is, [hashtable]$Should) {
    $changes = @{}
    foreach ($filter in $Should.Keys) { if (($Is[$filter] -join ', ') -ne ($Should[$filter] -join ', ')) { $changes[$filter] = $Should[$filter] } }
    $changes
}

# Windows answers 192.0.2.0/255.255.255.0 where 192.0.2.0/24 was asked for, and 192.0.2.7 for 192.0.2.7/32.
function ConvertTo-NetworkPrefix([string]$Address) {
    $network, $mask = $Address -split '/', 2
    if ($mask -match '^\d+\.\d+\.\d+\.\d+$') {
        $bits = -join @($mask -split '\.' | ForEach-Object { [Convert]::ToString([int]$_, 2) })
        $mask = [string]($bits -replace '0', '').Length
    }
    if (-not $mask -or ($mask -eq '32' -and $network -notmatch ':') -or $mask -eq '128') { $network } else { "$network/$mask" }
}

function Set-FirewallRule([string]$Name, [string]$DisplayName, [hashtable]$Rule) {
    $before = Get-FirewallRule $Name
    Save-Before 'firewall_rule' $Name $before
    if ($before) {
        $wide = Get-FilterChanges $before $RuleFilters
        Set-NetFirewallRule -Name $Name @Rule @wide
    }
    else { [void](New-NetFirewallRule -Name $Name -DisplayName $DisplayName -Group 'nbserver' @Rule) }
}

$Restore.firewall_rule = {
    param($Name, $Before)
    if (-not $Before) {
        if (Get-FirewallRule $Name) { Remove-NetFirewallRule -Name $Name }
        return
    }
    # Earlier releases did not look at the filters, and left them alone.
    $kept = @{}
    foreach ($filter in $RuleFilters.Keys) { if ($Before.PSObject.Properties[$filter]) { $kept[$filter] = $Before.$filter } }
    $narrow = @{}
    $is = Get-FirewallRule $Name
    if ($is) { $narrow = Get-FilterChanges $is $kept }
    Set-NetFirewallRule -Name $Name -Enabled $Before.Enabled -Direction $Before.Direction -Action $Before.Action -Profile $Before.Profile `
        -Protocol $Before.Protocol -LocalPort $Before.LocalPort -RemoteAddress $Before.RemoteAddress @narrow
}

# ---- rules of others that let the same port in

# Enabled inbound rules that allow this TCP port. Alone says that a rule names no other port. All port
# filters are asked for at once: one question a rule takes seconds on a server. Policy's rules are not seen.
function Get-OtherPortRules([int]$Port) {
    $alone = @{}
    foreach ($filter in Get-NetFirewallPortFilter -Protocol TCP -ErrorAction SilentlyContinue) {
        $ports = @($filter.LocalPort | ForEach-Object { [string]$_ })
        $named = @($ports | Where-Object { $_ -eq [string]$Port -or ($_ -match '^(\d+)-(\d+)$' -and [int]$Matches[1] -le $Port -and [int]$Matches[2] -ge $Port) })
        if ($named.Count) { $alone[[string]$filter.InstanceID] = $ports.Count -eq 1 -and $ports[0] -eq [string]$Port }
    }
    foreach ($name in $alone.Keys | Sort-Object) {
        $rule = Get-NetFirewallRule -Name $name -ErrorAction SilentlyContinue
        if (-not $rule -or $name -eq 'nbserver') { continue }
        if ([string]$rule.Enabled -eq 'True' -and [string]$rule.Direction -eq 'Inbound' -and [string]$rule.Action -eq 'Allow') {
            @{ Name = $name; DisplayName = [string]$rule.DisplayName; Alone = $alone[$name] }
        }
    }
}

# Kind firewall_rule_state: nothing of the rule is touched but whether it is enabled.
function Disable-FirewallRule([string]$Name) {
    Save-Before 'firewall_rule_state' $Name ([string](Get-NetFirewallRule -Name $Name).Enabled)
    Set-NetFirewallRule -Name $Name -Enabled False
}

$Restore.firewall_rule_state = {
    param($Name, $Before)
    if (Get-NetFirewallRule -Name $Name -ErrorAction SilentlyContinue) { Set-NetFirewallRule -Name $Name -Enabled $Before }
}
