# ---- prelude: firewall -----------------------------------------------------------------------------
# Create, change, and restore a firewall rule, identified by its stable name.

# Display names are localized and need not be unique.

# While the service does not run, its commands report an error for every rule, which does not name the service.
function Test-FirewallRunning {
    $service = Get-Service -Name MpsSvc -ErrorAction SilentlyContinue
    $service -and [string]$service.Status -eq 'Running'
}

function Assert-FirewallRunning {
    if (Test-FirewallRunning) { return }
    throw (New-Failure firewall-stopped ('the Windows firewall service (MpsSvc) is not running, so firewall rules ' +
            'can be neither read nor changed. Start the service (Start-Service MpsSvc), or, if another firewall ' +
            'protects this host, set skip = ["firewall"] in the inventory'))
}

# The filters that restrict a rule in addition to its ports and remote addresses, and their values in a rule without.
$RuleFilters = @{
    Program = 'Any'; Service = 'Any'; LocalAddress = 'Any'; RemotePort = 'Any'; InterfaceType = 'Any'
    InterfaceAlias = 'Any'; LocalUser = 'Any'; RemoteUser = 'Any'; RemoteMachine = 'Any'
    Authentication = 'NotRequired'; Encryption = 'NotRequired'
}

# The display name of a rule that this script has created. An adopted rule keeps the name that it has.
$OwnDisplayName = '^nbserver: notebook server, TCP \d+$'

# Return the rule, or nothing if it does not exist.
function Find-FirewallRule([string]$Name) {
    try { Get-NetFirewallRule -Name $Name -ErrorAction Stop }
    catch { if (-not (Test-NotFound $_)) { throw } }
}

# Return the properties of a rule as text; or nothing.
function Get-FirewallRule([string]$Name) {
    $rule = Find-FirewallRule $Name
    if (-not $rule) { return }
    $port = Get-NetFirewallPortFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $address = Get-NetFirewallAddressFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $application = Get-NetFirewallApplicationFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $service = Get-NetFirewallServiceFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $type = Get-NetFirewallInterfaceTypeFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $interface = Get-NetFirewallInterfaceFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $security = Get-NetFirewallSecurityFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    @{
        DisplayName = [string]$rule.DisplayName
        Enabled = [string]$rule.Enabled; Direction = [string]$rule.Direction
        Action = [string]$rule.Action; Profile = [string]$rule.Profile
        Protocol = [string]$port.Protocol
        LocalPort = @($port.LocalPort | ForEach-Object { [string]$_ })
        RemotePort = @($port.RemotePort | ForEach-Object { [string]$_ })
        LocalAddress = @($address.LocalAddress | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
        RemoteAddress = @($address.RemoteAddress | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
        Program = [string]$application.Program; Service = [string]$service.Service
        InterfaceType = [string]$type.InterfaceType
        InterfaceAlias = @($interface.InterfaceAlias | ForEach-Object { [string]$_ })
        LocalUser = [string]$security.LocalUser; RemoteUser = [string]$security.RemoteUser
        RemoteMachine = [string]$security.RemoteMachine
        Authentication = [string]$security.Authentication; Encryption = [string]$security.Encryption
    }
}

# Return the filters that must change, as parameters. Filters that are right already are not written.
function Get-FilterChange($Is, [hashtable]$Should) {
    $changes = @{}
    foreach ($filter in $Should.Keys) {
        if (($Is[$filter] -join ', ') -ne ($Should[$filter] -join ', ')) { $changes[$filter] = $Should[$filter] }
    }
    $changes
}

# Return an address in one form: Windows reports 192.0.2.0/24 as 192.0.2.0/255.255.255.0, and 192.0.2.7/32 as 192.0.2.7.
# The length of a prefix is the number of ones in its mask: 255.255.255.0 in binary has 24.
function ConvertTo-NetworkPrefix([string]$Address) {
    $network, $length = $Address -split '/', 2
    if ($length -match '^\d+\.\d+\.\d+\.\d+$') {
        $binary = -join @($length -split '\.' | ForEach-Object { [Convert]::ToString([int]$_, 2) })
        $length = [string]$binary.Replace('0', '').Length
    }
    $isIPv4 = $network -notmatch ':'
    $isOneAddress = ($isIPv4 -and $length -eq '32') -or $length -eq '128'
    if (-not $length -or $isOneAddress) { $network } else { "$network/$length" }
}

function Set-FirewallRule {
    param([string]$Name, [string]$DisplayName, [hashtable]$Rule)
    $before = Get-FirewallRule $Name
    Save-Before 'firewall_rule' $Name $before
    if (-not $before) {
        [void](New-NetFirewallRule -Name $Name -DisplayName $DisplayName -Group 'nbserver' @Rule -ErrorAction Stop)
        return
    }
    $wide = Get-FilterChange $before $RuleFilters
    if ($before.DisplayName -cmatch $OwnDisplayName) { $wide.NewDisplayName = $DisplayName }
    Set-NetFirewallRule -Name $Name @Rule @wide -ErrorAction Stop
}

# In undo, the settings cannot leave the firewall out.
function Assert-FirewallRestorable {
    if (Test-FirewallRunning) { return }
    throw (New-Failure firewall-stopped-undo ('the Windows firewall service (MpsSvc) is not running, so firewall ' +
            'rules cannot be restored. Start the service (Set-Service MpsSvc -StartupType Automatic; Start-Service ' +
            'MpsSvc), then run nbserver undo again'))
}

# Earlier releases did not record the filters and the display name, and did not change them.
$Restore.firewall_rule = {
    param($Name, $Before)
    Assert-FirewallRestorable
    $is = Get-FirewallRule $Name
    if (-not $Before) {
        if ($is) { Remove-NetFirewallRule -Name $Name -ErrorAction Stop }
        return
    }
    if (-not $is) { return }                             # somebody has removed it since
    $recorded = @{}
    foreach ($filter in $RuleFilters.Keys) {
        if ($Before.PSObject.Properties[$filter]) { $recorded[$filter] = $Before.$filter }
    }
    $narrow = Get-FilterChange $is $recorded
    if ($Before.PSObject.Properties['DisplayName']) { $narrow.NewDisplayName = $Before.DisplayName }
    Set-NetFirewallRule -Name $Name -Enabled $Before.Enabled -Direction $Before.Direction -Action $Before.Action `
        -Profile $Before.Profile -Protocol $Before.Protocol -LocalPort $Before.LocalPort `
        -RemoteAddress $Before.RemoteAddress @narrow -ErrorAction Stop
}
