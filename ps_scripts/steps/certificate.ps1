# ---- step: certificate ---------------------------------------------------------------------------------
# Made on this host by OpenSSL: P-256, self-signed, for the names in the settings. Such a key never leaves
# the host. It is made again 30 days before it ends, or when the names change.
# Where no OpenSSL is installed (scope "user"), prelude/certificate_program makes it. Other sources are in
# prelude/certificate_sources. Only administrators and the service can read the key.

$CertificateFile = Join-Path $ServiceFolder 'certificate.pem'
$KeyFile = Join-Path $ServiceFolder 'key.pem'
$SourceFile = Join-Path $ServiceFolder 'certificate.source'
$RequestFile = Join-Path $ServiceFolder 'certificate.cnf'

# It holds 64 characters at most; clients look at the SANs.
function Get-CommonName { $Settings.host.Substring(0, [Math]::Min(64, $Settings.host.Length)) }

# The request, for `openssl req`.
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

function Get-ServerCertificate {
    if ((Test-Path -LiteralPath $CertificateFile) -and (Test-Path -LiteralPath $KeyFile)) { Read-Certificate $CertificateFile | Select-Object -First 1 }
}

function Compare-OwnCertificate($Certificate) {
    $names = $Settings.certificate.names -join ', '
    if (-not $Certificate) { Difference 'certificate' $null $names }
    elseif ($Certificate.NotAfter.ToUniversalTime() -lt [DateTime]::UtcNow.AddDays([Math]::Min(30, $Settings.certificate.days / 2))) {
        Difference 'certificate' "ends $($Certificate.NotAfter.ToUniversalTime().ToString('u'))" 'a new one'
    }
    elseif (-not (Test-TextFile $SourceFile 'host')) { Difference 'source of the certificate' 'another' 'host' }
    elseif (-not (Test-TextFile $RequestFile (Get-CertificateRequest))) { Difference 'names of the certificate' 'others' $names }
}

function Install-OwnCertificate {
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $SourceFile 'unfinished'
    Set-TextFile $RequestFile (Get-CertificateRequest)
    if ($Settings.openssl) {
        Invoke-Program (Get-OpenSsl) @('req', '-new', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-days', [string]$Settings.certificate.days,
            '-config', $RequestFile, '-keyout', "$KeyFile.new", '-out', "$CertificateFile.new") `
            -Todo 'If it says that a DLL is missing (code -1073741515): install the Visual C++ redistributable first'
    }
    else { Invoke-CertificateProgram "$KeyFile.new" "$CertificateFile.new" }
    foreach ($file in $KeyFile, $CertificateFile) { Move-Over "$file.new" $file }
    Set-TextFile $SourceFile 'host'
}

Add-Step certificate 'the server has a certificate for its names, and only the service can read the key' -Test {
    Compare-Folder $ServiceFolder $ServiceReads
    $certificate = Get-ServerCertificate
    if ($certificate) { $Run.Fingerprint = Get-Fingerprint $certificate }
    if ($Settings.certificate.source -eq 'host') { Compare-OwnCertificate $certificate } else { Compare-GivenCertificate $certificate }
} -Apply {
    Add-Folder $StateFolder
    Add-Folder $ServiceFolder $ServiceReads   # before there is a key in it
    if ($Settings.certificate.source -eq 'host') { Install-OwnCertificate } else { Install-GivenCertificate }
}
