$rule = Get-NetFirewallRule -Name nbserver
$ports = Get-NetFirewallPortFilter -AssociatedNetFirewallRule $rule
$addresses = Get-NetFirewallAddressFilter -AssociatedNetFirewallRule $rule
$is = $rule.Enabled, $rule.Direction, $rule.Action, $rule.Profile, $ports.Protocol, $ports.LocalPort, $addresses.RemoteAddress
if (($is -join ' ') -ne "True Inbound Allow Any TCP $Port Any") { throw "firewall rule: $is" }
