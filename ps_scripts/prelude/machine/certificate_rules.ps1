# ---- prelude: certificate_rules --------------------------------------------------------------------
# Refuse unsuitable certificates, by the same rules as the workstation.

# Signatures with SHA-256, SHA-384, or SHA-512.
$AllowedSignatures = @(
    '1.2.840.113549.1.1.11'                              # sha256WithRSAEncryption
    '1.2.840.113549.1.1.12'                              # sha384WithRSAEncryption
    '1.2.840.113549.1.1.13'                              # sha512WithRSAEncryption
    '1.2.840.113549.1.1.10'                              # RSASSA-PSS
    '1.2.840.10045.4.3.2'                                # ecdsa-with-SHA256
    '1.2.840.10045.4.3.3'                                # ecdsa-with-SHA384
    '1.2.840.10045.4.3.4'                                # ecdsa-with-SHA512
)
$RsaKey = '1.2.840.113549.1.1.1'                         # rsaEncryption

# The parameters of an EC key are the name of its curve, as a DER element: tag 06 (OBJECT IDENTIFIER), length, value.
$AllowedCurves = @(
    '06-08-2A-86-48-CE-3D-03-01-07'                      # P-256, 1.2.840.10045.3.1.7
    '06-05-2B-81-04-00-22'                               # P-384, 1.3.132.0.34
)

$AllowedPurposes = '1.3.6.1.5.5.7.3.1', '2.5.29.37.0'    # serverAuth, anyExtendedKeyUsage

# Return why the server must not use a certificate for the names in the settings; or nothing.
function Get-CertificateFault($Certificate) {
    if (-not $Certificate) {
        return New-Failure certificate-empty 'the file does not contain a certificate in PEM format'
    }
    $fault = Get-ValidityFault $Certificate
    if (-not $fault) { $fault = Get-NameFault $Certificate }
    if (-not $fault) { $fault = Get-SignatureFault $Certificate }
    if (-not $fault) { $fault = Get-PurposeFault $Certificate }
    if (-not $fault) { $fault = Get-KeyFault $Certificate }
    $fault
}

function Get-ValidityFault($Certificate) {
    $begin = $Certificate.NotBefore.ToUniversalTime()
    $end = $Certificate.NotAfter.ToUniversalTime()
    if ($end -le [DateTime]::UtcNow) {
        return New-Failure certificate-expired 'the certificate expired on {time}' @{ time = $end.ToString('u') }
    }
    if ($begin -gt [DateTime]::UtcNow) {
        New-Failure certificate-not-yet-valid ('the certificate is ' +
            'not valid before {time}') @{ time = $begin.ToString('u') }
    }
}

function Get-NameFault($Certificate) {
    $names = @(Get-CertificateName $Certificate)
    $wildcards = @($names | Where-Object { $_.Contains('*') })
    if ($wildcards.Count) {
        return New-Failure certificate-wildcard ('the certificate has the wildcard name {name}, which nbserver does ' +
            'not accept: anyone who can use a notebook could read the private key and impersonate every host that ' +
            'matches this name') @{
            name = $wildcards[0]
        }
    }
    $missing = @($Settings.certificate.names | Where-Object { $names -notcontains (Format-Name $_) })
    $asName = @($missing | Where-Object { $names -contains "DNS:$(Format-Name $_)" })
    if ($asName.Count) {
        return New-Failure certificate-address-as-name ('the certificate has the IP address {address} as a DNS name, ' +
            'which browsers do not accept') @{ address = $asName[0] }
    }
    if ($missing.Count) {
        New-Failure certificate-lacks-name 'the subject alternative names must include {names}' @{
            names = $missing -join ', '
        }
    }
}

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

function Get-SignatureFault($Certificate) {
    $algorithm = $Certificate.SignatureAlgorithm.Value
    if ($AllowedSignatures -notcontains $algorithm) {
        New-Failure certificate-signature ('the certificate is signed with {algorithm}, expected RSA or ECDSA with ' +
            'SHA-256, SHA-384, or SHA-512') @{ algorithm = $algorithm }
    }
}

# An extension that a certificate does not have does not restrict it.
function Get-PurposeFault($Certificate) {
    foreach ($authority in Get-Extension $Certificate X509BasicConstraintsExtension) {
        if ($authority.CertificateAuthority) {
            return New-Failure certificate-of-authority ('the certificate must not be a CA certificate (CA:TRUE), ' +
                'because notebooks can read its private key and could use it to issue certificates')
        }
    }
    foreach ($purposes in Get-Extension $Certificate X509EnhancedKeyUsageExtension) {
        $allowed = @($purposes.EnhancedKeyUsages | Where-Object { $AllowedPurposes -contains $_.Value })
        if (-not $allowed.Count) {
            return New-Failure certificate-purpose ('the extended key usage does not include server authentication ' +
                '(serverAuth)')
        }
    }
    $digitalSignature = [Security.Cryptography.X509Certificates.X509KeyUsageFlags]::DigitalSignature
    foreach ($usage in Get-Extension $Certificate X509KeyUsageExtension) {
        if (-not ($usage.KeyUsages -band $digitalSignature)) {
            return New-Failure certificate-key-usage ('the key usage does not include digitalSignature, which TLS ' +
                '1.2 and 1.3 require')
        }
    }
}

# Return the extensions of a class of System.Security.Cryptography.X509Certificates.
function Get-Extension($Certificate, [string]$Class) {
    $Certificate.Extensions | Where-Object { $_.GetType().Name -eq $Class }
}

function Get-KeyFault($Certificate) {
    $key = $Certificate.PublicKey
    if ($key.Oid.Value -eq $RsaKey) {
        $bits = Get-ModulusBits $key.EncodedKeyValue.RawData
        if ($bits -lt 2048 -or $bits -gt 8192) {
            New-Failure certificate-key-length 'the RSA key has {bits} bits, expected 2048 to 8192' @{
                bits = $bits
            }
        }
    }
    elseif ($AllowedCurves -notcontains [BitConverter]::ToString($key.EncodedParameters.RawData)) {
        New-Failure certificate-key-type 'the certificate must have an RSA key, or an EC key on P-256 or P-384'
    }
}
