# ---- prelude: certificates and keys, as they stand in PEM files ----------------------------------------

# The certificates of a PEM file, in its order. Taken apart here, because what .NET reads from a file with
# several of them depends on its version.
function Read-Certificates([string]$Path) {
    $text = [IO.File]::ReadAllText($Path, $Utf8)
    foreach ($match in [regex]::Matches($text, '-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----')) {
        New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, [Convert]::FromBase64String($match.Groups[1].Value))
    }
}

function Format-Certificate($Certificate) {
    $lines = [regex]::Replace([Convert]::ToBase64String($Certificate.RawData), '.{1,64}', "`$0`n")
    "-----BEGIN CERTIFICATE-----`n$lines-----END CERTIFICATE-----`n"
}

# SHA256: and 64 hex digits, as the orchestrator pins it.
function Get-Fingerprint($Certificate) { 'SHA256:' + (Get-Sha256 $Certificate.RawData) }

# A DNS name or an IP address in the one form in which two of them are compared.
function Format-Name([string]$Name) {
    $address = $null
    if ([Net.IPAddress]::TryParse($Name, [ref]$address)) { $address.ToString() } else { $Name.ToLowerInvariant() }
}

# The DNS names and IP addresses of its SANs. Read off the extension's bytes (RFC 5280, 4.2.1.6: in a
# sequence, a name is tagged 0x82 and an address 0x87), because .NET tells them in Windows' own language.
function Get-CertificateNames($Certificate) {
    foreach ($extension in $Certificate.Extensions) {
        if ($extension.Oid.Value -ne '2.5.29.17') { continue }
        $bytes = $extension.RawData
        $at = (Get-DerValue $bytes 0).Start
        while ($at -lt $bytes.Length) {
            $tag = $bytes[$at]
            $value = Get-DerValue $bytes $at
            $at = $value.End
            $data = New-Object byte[] ($value.End - $value.Start)
            [Array]::Copy($bytes, $value.Start, $data, 0, $data.Length)
            if ($tag -eq 0x82) { $Utf8.GetString($data).ToLowerInvariant() }
            elseif ($tag -eq 0x87) { (New-Object Net.IPAddress (, $data)).ToString() }
        }
    }
}

# Where the value of the DER element at $At begins and ends: a length above 127 says in how many bytes it stands.
function Get-DerValue([byte[]]$Bytes, [int]$At) {
    $start = $At + 2
    $length = [int]$Bytes[$At + 1]
    if ($length -gt 127) {
        $behind = $start + $length - 128
        $length = 0
        for (; $start -lt $behind; $start++) { $length = $length * 256 + $Bytes[$start] }
    }
    @{ Start = $start; End = $start + $length }
}

# Signatures by SHA-256, SHA-384 or SHA-512: with RSA (PSS last), with an EC key.
$GoodSignatures = '1.2.840.113549.1.1.11', '1.2.840.113549.1.1.12', '1.2.840.113549.1.1.13', '1.2.840.113549.1.1.10',
    '1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4'
# P-256 and P-384, in DER.
$GoodCurves = '06-08-2A-86-48-CE-3D-03-01-07', '06-05-2B-81-04-00-22'

# serverAuth, and any purpose.
$ServerPurposes = '1.3.6.1.5.5.7.3.1', '2.5.29.37.0'

# The length of an RSA key: of the first number in its sequence, without the zeros before it.
function Get-ModulusBits([byte[]]$Key) {
    $modulus = Get-DerValue $Key (Get-DerValue $Key 0).Start
    $at = $modulus.Start
    while ($at -lt $modulus.End - 1 -and -not $Key[$at]) { $at++ }
    $bits = 8 * ($modulus.End - $at)
    for ($first = [int]$Key[$at]; $first -gt 0 -and $first -lt 128; $first *= 2) { $bits-- }
    $bits
}

# Why this certificate must not be served for the names in the settings; nothing where it may.
# The workstation checks the same for certificates that it sends.
function Get-CertificateFault($Certificate) {
    if (-not $Certificate) { return 'there is no certificate in it' }
    $now = [DateTime]::UtcNow
    if ($Certificate.NotAfter.ToUniversalTime() -le $now) { return "it ended $($Certificate.NotAfter.ToUniversalTime().ToString('u'))" }
    if ($Certificate.NotBefore.ToUniversalTime() -gt $now) { return "it is not valid before $($Certificate.NotBefore.ToUniversalTime().ToString('u'))" }
    $names = @(Get-CertificateNames $Certificate)
    foreach ($name in $names) {
        if ($name.Contains('*')) { return "it is for the wildcard name $name. Notebooks run as the server's account and can read its key, so only a certificate for this host's own names is served" }
    }
    $missing = @($Settings.certificate.names | Where-Object { $names -notcontains (Format-Name $_) })
    if ($missing.Count) { return "its subject alternative names lack $($missing -join ', ')" }
    if ($GoodSignatures -notcontains $Certificate.SignatureAlgorithm.Value) { return "its signature ($($Certificate.SignatureAlgorithm.Value)) is not one by SHA-256, SHA-384 or SHA-512" }
    foreach ($extension in $Certificate.Extensions) {
        if ($extension -is [Security.Cryptography.X509Certificates.X509BasicConstraintsExtension]) {
            if ($extension.CertificateAuthority) { return 'it is the certificate of an authority (CA:TRUE). Notebooks run as the server''s account and can read its key, and could issue certificates with it' }
        }
        elseif ($extension -is [Security.Cryptography.X509Certificates.X509EnhancedKeyUsageExtension]) {
            if (-not @($extension.EnhancedKeyUsages | Where-Object { $ServerPurposes -contains $_.Value }).Count) { return 'its extended key usage is not for a server (serverAuth)' }
        }
        elseif ($extension -is [Security.Cryptography.X509Certificates.X509KeyUsageExtension]) {
            if (-not ($extension.KeyUsages -band [Security.Cryptography.X509Certificates.X509KeyUsageFlags]::DigitalSignature)) { return 'its key usage lacks digitalSignature, which TLS 1.2 and 1.3 need' }
        }
    }
    $key = $Certificate.PublicKey
    if ($key.Oid.Value -eq '1.2.840.113549.1.1.1') {
        $bits = Get-ModulusBits $key.EncodedKeyValue.RawData
        if ($bits -lt 2048 -or $bits -gt 8192) { return "its RSA key has $bits bits, 2048 to 8192 are allowed" }
    }
    elseif ($GoodCurves -notcontains [BitConverter]::ToString($key.EncodedParameters.RawData)) { return 'its key is neither RSA nor EC on P-256 or P-384' }
}

# Whether a certificate and a key belong together: OpenSSL tells the public key of both.
function Test-KeyPair([string]$Certificate, [string]$Key) {
    Invoke-Program (Get-OpenSsl) @('x509', '-in', $Certificate, '-noout', '-pubkey') -Accept 0, 1 -Quiet
    $public = $Run.Output -join "`n"
    if ($Run.ExitCode) { return $false }
    Invoke-Program (Get-OpenSsl) @('pkey', '-in', $Key, '-pubout') -Accept 0, 1 -Quiet
    -not $Run.ExitCode -and [string]::Equals($public, ($Run.Output -join "`n"))
}

# A file takes the place of another one, at once.
function Move-Over([string]$New, [string]$Path) {
    if (Test-Path -LiteralPath $Path) { [IO.File]::Replace($New, $Path, [NullString]::Value) }
    else { [IO.File]::Move($New, $Path) }
}
