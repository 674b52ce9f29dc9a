# Enable PowerShell remoting over HTTPS on this host.
# "nbserver init --enable-remoting FILE" writes this file, the same for every host.
#
# Run it on the host, in a Windows PowerShell that was started as administrator:
#
#     powershell -ExecutionPolicy Bypass -File enable-remoting.ps1 -RemoteAddress 192.0.2.10
#
# or as a startup script of a group policy. It
#   1. enables PowerShell remoting (Enable-PSRemoting), if it is not enabled;
#   2. creates a self-signed certificate for the names of this host, if the HTTPS listener has none;
#   3. creates the HTTPS listener of WinRM on port 5986, if it is missing;
#   4. allows port 5986 in the firewall, from -RemoteAddress only (port 5985: see below);
#   5. prints the fingerprint of the certificate, which belongs in the inventory of nbserver.
# A second run changes nothing, and prints the same fingerprint. With -RemoteAddress, it changes who may connect.
#
# -Name           further names of this host that the certificate shall have
# -RemoteAddress  who may connect: addresses and networks such as 192.0.2.0/24, or LocalSubnet (the default at first)
#
# To undo it: winrm delete winrm/config/Listener?Address=*+Transport=HTTPS
#             Remove-NetFirewallRule -Name nbserver-winrm-https
#             Disable-PSRemoting, and delete the certificate in Cert:\LocalMachine\My
#
# If remoting was not enabled, as on a new Windows 10 or 11, Enable-PSRemoting also starts WinRM, creates a listener on
# port 5985, and allows that port in the firewall: from all addresses in domain and private networks. nbserver does not
# use it. To close it: Disable-NetFirewallRule -Group '@FirewallAPI.dll,-30267' (Windows Remote Management).
# Disable-PSRemoting reports what it does not undo: WinRM, this listener, its rules, LocalAccountTokenFilterPolicy.

param([string[]]$Name = @(), [string[]]$RemoteAddress = @())

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$Port = 5986
$RuleName = 'nbserver-winrm-https'
$Listener = @{ Address = '*'; Transport = 'HTTPS' }

# powershell -File passes "a,b" as one text.
$Name = @($Name | ForEach-Object { $_ -split ',' } | Where-Object { $_ })
$RemoteAddress = @($RemoteAddress | ForEach-Object { $_ -split ',' } | Where-Object { $_ })

$identity = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    [Console]::Error.WriteLine('this script needs administrator rights. Start Windows PowerShell as administrator')
    exit 1
}

# Return the names of this host: its own, the one with its domain, and those of -Name, each once.
function Get-HostName {
    $network = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
    $found = @($env:COMPUTERNAME)
    if ($network.DomainName) { $found += "$($network.HostName).$($network.DomainName)" }
    @($found + $Name | ForEach-Object { $_.ToLowerInvariant() } | Select-Object -Unique)
}

# Return the HTTPS listener of WinRM, or nothing. All listeners are read, because to ask for one that does not exist is
# an error that stops the script, with any -ErrorAction.
function Get-HttpsListener {
    Get-WSManInstance -ResourceURI winrm/config/Listener -Enumerate |
        Where-Object { $_.Transport -eq $Listener.Transport -and $_.Address -eq $Listener.Address }
}

# Return the certificate with this thumbprint if this host has its private key, or nothing.
function Get-ListenerCertificate([string]$Thumbprint) {
    if (-not $Thumbprint) { return }
    $path = 'Cert:\LocalMachine\My\' + ($Thumbprint -creplace '[^0-9A-Fa-f]')
    Get-Item -LiteralPath $path -ErrorAction SilentlyContinue | Where-Object { $_.HasPrivateKey }
}

# Return whether Windows PowerShell accepts remote sessions. Disable-PSRemoting leaves the service running, and then the
# endpoint refuses the network, NU in SDDL. Windows PowerShell 3.0 has no other way to ask.
function Test-Remoting {
    if ((Get-Service -Name WinRM).Status -ne 'Running') { return $false }
    $endpoint = Get-PSSessionConfiguration -Name Microsoft.PowerShell -ErrorAction SilentlyContinue
    if (-not $endpoint) { return $false }
    $closed = @{ Enabled = '\A[Ff]alse\z'; SecurityDescriptorSddl = '\(D;[^()]*;NU\)' }
    foreach ($name in $closed.Keys) {
        $property = $endpoint.PSObject.Properties[$name]
        if ($property -and "$($property.Value)" -cmatch $closed[$name]) { return $false }
    }
    $true
}

if (-not (Test-Remoting)) {
    'Enabling PowerShell remoting'
    Enable-PSRemoting -Force -SkipNetworkProfileCheck | Out-Null
}

$existing = Get-HttpsListener
$certificate = $null
if ($existing) { $certificate = Get-ListenerCertificate ([string]$existing.CertificateThumbprint) }
if (-not $certificate) {
    $names = @(Get-HostName)
    "Creating a certificate for $($names -join ', ')"
    $certificate = New-SelfSignedCertificate -DnsName $names -CertStoreLocation 'Cert:\LocalMachine\My'
    $values = @{ CertificateThumbprint = $certificate.Thumbprint }
    if ($existing) {
        "Changing the HTTPS listener on port $Port"
        Set-WSManInstance -ResourceURI winrm/config/Listener -SelectorSet $Listener -ValueSet $values | Out-Null
    }
    else {
        "Creating the HTTPS listener on port $Port"
        New-WSManInstance -ResourceURI winrm/config/Listener -SelectorSet $Listener -ValueSet $values | Out-Null
    }
}

if (Get-NetFirewallRule -Name $RuleName -ErrorAction SilentlyContinue) {
    $change = @{ Name = $RuleName; Enabled = 'True'; Action = 'Allow'; Direction = 'Inbound'; Protocol = 'TCP' }
    if ($RemoteAddress) { $change.RemoteAddress = $RemoteAddress }
    Set-NetFirewallRule @change -LocalPort $Port -ErrorAction Stop
}
else {
    if (-not $RemoteAddress) { $RemoteAddress = @('LocalSubnet') }
    "Allowing port $Port from $($RemoteAddress -join ', ')"
    New-NetFirewallRule -Name $RuleName -DisplayName 'WinRM over HTTPS (nbserver)' -Direction Inbound -Action Allow `
        -Protocol TCP -LocalPort $Port -RemoteAddress $RemoteAddress -ErrorAction Stop | Out-Null
}

$hash = (New-Object Security.Cryptography.SHA256CryptoServiceProvider).ComputeHash($certificate.RawData)
'The fingerprint for the inventory of nbserver:'
'SHA256:' + [BitConverter]::ToString($hash).Replace('-', '')
