# ---- prelude: own_certificate ----------------------------------------------------------------------
# Compare and replace a certificate that the host signs itself.

# The certificate is for the names in the settings, with a key on P-256 that never leaves the host. A new one is created
# 30 days before it expires, when the names change, or when the key is damaged.

$CertificateFile = Join-Path $ServiceFolder 'certificate.pem'
$KeyFile = Join-Path $ServiceFolder 'key.pem'
$SourceFile = Join-Path $ServiceFolder 'certificate.source'
$RequestFile = Join-Path $ServiceFolder 'certificate.cnf'

# A common name has at most 64 characters. Clients compare the subject alternative names.
function Get-CommonName { $Settings.host.Substring(0, [Math]::Min(64, $Settings.host.Length)) }

# Return the configuration for `openssl req`.
function Get-CertificateRequest {
    $names = @($Settings.certificate.names | ForEach-Object {
            $address = $null
            if ([Net.IPAddress]::TryParse($_, [ref]$address)) { "IP:$_" } else { "DNS:$_" }
        })
    @"
[req]
distinguished_name = subject
x509_extensions = server
req_extensions = server
prompt = no
encrypt_key = no
default_md = sha256
[subject]
commonName = $(Get-CommonName)
[server]
subjectAltName = $($names -join ',')
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
"@ -replace "`r", ''
}

# Return the certificate of the server, without its chain; or nothing if it or its key is missing.
function Get-ServerCertificate {
    if (-not (Test-Path -LiteralPath $CertificateFile) -or -not (Test-Path -LiteralPath $KeyFile)) { return }
    Read-Certificate $CertificateFile | Select-Object -First 1
}

function Compare-OwnCertificate($Certificate) {
    $names = $Settings.certificate.names -join ', '
    if (-not $Certificate) {
        Add-Difference certificate-missing 'certificate' $null $names
        return
    }
    $end = $Certificate.NotAfter.ToUniversalTime()
    if ($end -lt [DateTime]::UtcNow.AddDays([Math]::Min(30, $Settings.certificate.days / 2))) {
        Add-Difference certificate-expires 'certificate expiration date' $end.ToString('u') 'a later date'
    }
    elseif ($Certificate.NotBefore.ToUniversalTime() -gt [DateTime]::UtcNow.AddDays(5 / 24 / 60)) {
        # It was created while the clock of this host was wrong, by more than five minutes.
        Add-Difference certificate-begins 'certificate' 'not valid yet' 'a new certificate'
    }
    elseif (-not (Test-TextFile $SourceFile 'host')) {
        Add-Difference certificate-source 'certificate source' 'a different source' 'this host'
    }
    elseif (-not (Test-TextFile $RequestFile (Get-CertificateRequest))) {
        Add-Difference certificate-names 'certificate names' 'different names' $names
    }
    elseif ($Run.Mode -eq 'apply' -and -not (Test-OwnKeyPair)) {
        Add-Difference certificate-key 'private key' 'not the key for the certificate' 'a new key and certificate'
    }
}

# Return whether more is to be changed than the folder: a certificate in a folder that others could read stays.
function Test-CertificateDue {
    [bool]@($Run.Differences | Where-Object { 'folder-missing', 'folder-access' -notcontains $_.code }).Count
}

# The mark "unfinished" makes the next run create the certificate again if this one is cut off.
function Install-OwnCertificate {
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $SourceFile 'unfinished'
    Set-TextFile $RequestFile (Get-CertificateRequest)
    New-OwnCertificate "$KeyFile.new" "$CertificateFile.new"
    foreach ($file in $KeyFile, $CertificateFile) { Move-Over "$file.new" $file }
    Set-TextFile $SourceFile 'host'
}
