# ---- step: firewall --------------------------------------------------------------------------------
# Open the notebook port in the firewall, with one inbound rule.

# The rule has no other filters, such as a program or an interface. The firewall itself is turned neither on nor off.
# Rules that were disabled for an earlier notebook.port are enabled again.

function Get-WantedFirewallRule {
    $addresses = @($Settings.firewall.remote_addresses | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
    @{
        Enabled = 'True'; Direction = 'Inbound'; Action = 'Allow'; Profile = 'Any'; Protocol = 'TCP'
        LocalPort = @([string]$Settings.notebook.port); RemoteAddress = $addresses
    }
}

# A group policy can make Windows ignore the rules of the host itself, for each profile, which is a kind of network.
# Security baselines do that for public networks only, so it counts for the networks in which this host is. Sources:
# [MS-GPFAS] 2.2.3.13, and NLM_NETWORK_CATEGORY on learn.microsoft.com.
$FirewallPolicy = 'HKLM:\SOFTWARE\Policies\Microsoft\WindowsFirewall'
$FirewallProfiles = 'PublicProfile', 'PrivateProfile', 'DomainProfile'   # in the order of the network categories
$LocalRules = @{ Reported = $false }   # in this run

# Return the profiles of the networks in which this host is; all profiles if Windows does not name any network.
function Get-NetworkProfile {
    try { $networks = @(Get-CimInstance -Namespace root\StandardCimv2 -ClassName MSFT_NetConnectionProfile) }
    catch { return $FirewallProfiles }
    if (-not $networks.Count) { return $FirewallProfiles }
    foreach ($network in $networks) { $FirewallProfiles[[int]$network.NetworkCategory] }
}

function Write-IgnoredRule {
    if ($LocalRules.Reported) { return }
    $ignoring = @($FirewallProfiles | Where-Object {
            $merge = Get-RegistryValue "$FirewallPolicy\$_" AllowLocalPolicyMerge
            $merge -and [string]$merge.value -eq '0'
        })
    if (-not $ignoring.Count) { return }
    $present = @(Get-NetworkProfile)
    $profiles = @($ignoring | Where-Object { $present -contains $_ })
    if (-not $profiles.Count) { return }
    $LocalRules.Reported = $true
    Write-Notice warning local-rules-ignored ('a group policy makes Windows ignore local firewall rules ' +
        '(AllowLocalPolicyMerge = 0 in {profiles}), so the nbserver firewall rule has no effect in networks with ' +
        'this profile. Open TCP port {port} in the group policy. If this host has no other networks, set skip = ' +
        '["firewall"] in the inventory') @{
        profiles = $profiles -join ', '; port = $Settings.notebook.port
    }
}

function Get-RuleDisplayName { "nbserver: notebook server, TCP $($Settings.notebook.port)" }

Add-Step firewall 'The firewall allows connections to the notebook port' -Test {
    Assert-FirewallRunning
    Write-IgnoredRule
    foreach ($line in Get-ReleasedRuleLine $Settings.notebook.port) {
        Add-Difference port-rule-disabled (
            'firewall rule {name}, which nbserver disabled for an earlier notebook port') 'disabled' 'enabled' @{
            name = $line.key
        }
    }
    $is = Get-FirewallRule 'nbserver'
    $should = Get-WantedFirewallRule
    foreach ($name in $RuleFilters.Keys) { $should[$name] = $RuleFilters[$name] }
    if (-not $is) {
        $wanted = "TCP $($should.LocalPort) from $($should.RemoteAddress -join ', ')"
        Add-Difference firewall-rule 'firewall rule nbserver' $null $wanted
        return
    }
    if ($is.DisplayName -cmatch $OwnDisplayName) { $should.DisplayName = Get-RuleDisplayName }
    foreach ($name in $should.Keys | Sort-Object) {
        $isText = $is[$name] -join ', '
        $shouldText = $should[$name] -join ', '
        if ($isText -ne $shouldText) {
            Add-Difference firewall-rule-property 'firewall rule nbserver, {property}' $isText $shouldText @{
                property = $name
            }
        }
    }
} -Apply {
    foreach ($line in @(Get-ReleasedRuleLine $Settings.notebook.port)) { Undo-Line $line }
    Set-FirewallRule 'nbserver' (Get-RuleDisplayName) (Get-WantedFirewallRule)
}
