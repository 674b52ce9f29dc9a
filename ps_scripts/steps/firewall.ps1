# ---- step: firewall ------------------------------------------------------------------------------------
# One inbound rule for the notebook's TCP port. Nothing else narrows it, such as a program
# or an interface. The firewall itself is neither switched on nor off.

function Get-FirewallSettings {
    @{
        Enabled = 'True'; Direction = 'Inbound'; Action = 'Allow'; Profile = 'Any'; Protocol = 'TCP'
        LocalPort = @([string]$Settings.notebook.port); RemoteAddress = @($Settings.firewall.remote_addresses | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
    }
}

Add-Step firewall 'the firewall lets the notebook port in' -Test {
    $is = Get-FirewallRule 'nbserver'
    $should = Get-FirewallSettings
    foreach ($name in $RuleFilters.Keys) { $should[$name] = $RuleFilters[$name] }
    if (-not $is) { Difference 'firewall rule nbserver' $null "TCP $($should.LocalPort) from $($should.RemoteAddress -join ', ')"; return }
    foreach ($name in $should.Keys | Sort-Object) {
        if (($is[$name] -join ', ') -ne ($should[$name] -join ', ')) { Difference "firewall rule nbserver, $name" ($is[$name] -join ', ') ($should[$name] -join ', ') }
    }
} -Apply {
    Set-FirewallRule 'nbserver' "nbserver: notebook server, TCP $($Settings.notebook.port)" (Get-FirewallSettings)
}
