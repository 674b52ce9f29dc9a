# ---- prelude: certificates -------------------------------------------------------------------------
# Read certificates from PEM files.

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

# Return SHA256: and 64 hexadecimal digits, the form in which the workstation pins a certificate.
function Get-Fingerprint($Certificate) { 'SHA256:' + (Get-Sha256 $Certificate.RawData) }
