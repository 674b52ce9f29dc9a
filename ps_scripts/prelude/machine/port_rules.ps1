# ---- prelude: port_rules ---------------------------------------------------------------------------
# Find and disable other firewall rules that open the notebook port.

# Return the port filters for TCP. Without any, Windows reports an error.
function Get-TcpFilter {
    try { Get-NetFirewallPortFilter -Protocol TCP -ErrorAction Stop }
    catch { if (-not (Test-NotFound $_)) { throw } }
}

# Return the enabled inbound rules that allow connections to this TCP port. Alone is true if a rule opens no other port.
# All port filters are read at once: to read them rule by rule takes seconds on a server. Rules of a policy are not
# included.
function Get-OtherPortRule([int]$Port) {
    $alone = @{}                                         # name of a rule -> whether it opens no other port
    foreach ($filter in Get-TcpFilter) {
        $ports = @($filter.LocalPort | ForEach-Object { [string]$_ })
        $matching = @($ports | Where-Object { Test-PortRange $_ $Port })
        if (-not $matching.Count) { continue }
        $alone[[string]$filter.InstanceID] = $ports.Count -eq 1 -and $ports[0] -eq [string]$Port
    }
    foreach ($name in $alone.Keys | Sort-Object) {
        if ($name -eq 'nbserver') { continue }
        # A filter may belong to a rule that is not in the firewall.
        $rule = Find-FirewallRule $name
        if (-not $rule) { continue }
        $isEnabled = [string]$rule.Enabled -eq 'True'
        if ($isEnabled -and [string]$rule.Direction -eq 'Inbound' -and [string]$rule.Action -eq 'Allow') {
            @{ Name = $name; DisplayName = [string]$rule.DisplayName; Alone = $alone[$name] }
        }
    }
}

# Return true if a port of a rule, such as 9999 or 9000-9999, includes this one. "Any" does not name a port.
function Test-PortRange([string]$Range, [int]$Port) {
    if ($Range -match '^(\d+)-(\d+)$') { [int]$Matches[1] -le $Port -and [int]$Matches[2] -ge $Port }
    else { $Range -eq [string]$Port }
}

# Only whether the rule is enabled changes, and only that is recorded.
function Disable-FirewallRule([string]$Name) {
    $rule = Get-NetFirewallRule -Name $Name -ErrorAction Stop
    Save-Before 'firewall_rule_state' $Name ([string]$rule.Enabled)
    Set-NetFirewallRule -Name $Name -Enabled False -ErrorAction Stop
}

# Return the lines of the record about rules that were disabled for another port than this one.
function Get-ReleasedRuleLine([int]$Port) {
    foreach ($line in @(Read-Record | Where-Object { $_.kind -eq 'firewall_rule_state' })) {
        $rule = Find-FirewallRule $line.key
        if (-not $rule) { continue }
        $filter = Get-NetFirewallPortFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
        $ports = @($filter.LocalPort | ForEach-Object { [string]$_ })
        if (-not @($ports | Where-Object { Test-PortRange $_ $Port }).Count) { $line }
    }
}

# A rule that was removed since is not an error.
$Restore.firewall_rule_state = {
    param($Name, $Before)
    Assert-FirewallRestorable
    if (-not (Find-FirewallRule $Name)) { return }
    Set-NetFirewallRule -Name $Name -Enabled $Before -ErrorAction Stop
}
