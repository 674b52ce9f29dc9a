# ---- prelude: certificates -------------------------------------------------------------------------
# Read and write certificates in PEM files, and compare their names and keys.

# Return the certificates of a PEM file, in its order. What .NET reads from a file with several certificates depends on
# its version, so each one is read separately.
function Read-Certificate([string]$Path) {
    $text = [IO.File]::ReadAllText($Path, $Utf8)
    $pattern = '-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----'
    foreach ($match in [regex]::Matches($text, $pattern)) {
        $bytes = [Convert]::FromBase64String($match.Groups[1].Value)
        New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, $bytes)
    }
}

# Return a certificate as PEM, with 64 characters per line.
function Format-Certificate($Certificate) {
    $lines = [regex]::Replace([Convert]::ToBase64String($Certificate.RawData), '.{1,64}', "`$0`n")
    "-----BEGIN CERTIFICATE-----`n$lines-----END CERTIFICATE-----`n"
}

# Return SHA256: and 64 hexadecimal digits, the form in which the workstation pins a certificate.
function Get-Fingerprint($Certificate) { 'SHA256:' + (Get-Sha256 $Certificate.RawData) }

# Return a DNS name or an IP address in the form in which names are compared.
function Format-Name([string]$Name) {
    $address = $null
    if ([Net.IPAddress]::TryParse($Name, [ref]$address)) { $address.ToString() } else { $Name.ToLowerInvariant() }
}

# Return the DNS names and IP addresses that a certificate is for. 2.5.29.17 is the extension subjectAltName.
function Get-CertificateName($Certificate) {
    foreach ($extension in $Certificate.Extensions) {
        if ($extension.Oid.Value -eq '2.5.29.17') { Read-AlternativeName $extension.RawData }
    }
}

# Return true if the certificate is for the key: openssl writes the public key of both. If a file is not a certificate
# or a key, openssl exits with code 1.
function Test-KeyPair([string]$Certificate, [string]$Key) {
    Invoke-OpenSsl @('x509', '-in', $Certificate, '-noout', '-pubkey') -Accept 0, 1 -Quiet
    if ($Run.ExitCode) { return $false }
    $expected = $Run.Output -join "`n"
    Invoke-OpenSsl @('pkey', '-in', $Key, '-pubout') -Accept 0, 1 -Quiet
    -not $Run.ExitCode -and [string]::Equals($expected, ($Run.Output -join "`n"))
}

# Replace a file by another one, in one operation.
function Move-Over([string]$New, [string]$Path) {
    if (Test-Path -LiteralPath $Path) { [IO.File]::Replace($New, $Path, [NullString]::Value) }
    else { [IO.File]::Move($New, $Path) }
}
