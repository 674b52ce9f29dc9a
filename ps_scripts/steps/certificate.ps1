# ---- step: certificate ---------------------------------------------------------------------------------
# Made on this host by OpenSSL: P-256, self-signed, for the names in the settings. The key never leaves
# the host, and only administrators and the service can read it.
# It is made again 30 days before it ends, or when the names change.

$CertificateFile = Join-Path $ServiceFolder 'certificate.pem'
$KeyFile = Join-Path $ServiceFolder 'key.pem'
$RequestFile = Join-Path $ServiceFolder 'certificate.cnf'

# The request, for `openssl req`. A common name holds 64 characters at most; clients look at the SANs.
function Get-CertificateRequest {
    $names = @($Settings.certificate.names | ForEach-Object {
            $address = $null
            if ([Net.IPAddress]::TryParse($_, [ref]$address)) { "IP:$_" } else { "DNS:$_" }
        })
    $commonName = $Settings.host.Substring(0, [Math]::Min(64, $Settings.host.Length))
    @"
[req]
distinguished_name = subject
x509_extensions = server
prompt = no
encrypt_key = no
default_md = sha256
[subject]
commonName = $commonName
[server]
subjectAltName = $($names -join ',')
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
"@ -replace "`r", ''
}

function Get-ServerCertificate {
    if ((Test-Path -LiteralPath $CertificateFile) -and (Test-Path -LiteralPath $KeyFile)) {
        New-Object Security.Cryptography.X509Certificates.X509Certificate2 $CertificateFile
    }
}

# SHA256: and 64 hex digits, as the orchestrator pins it.
function Get-Fingerprint($Certificate) {
    $sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    try { 'SHA256:' + ([BitConverter]::ToString($sha256.ComputeHash($Certificate.RawData)) -replace '-', '').ToLowerInvariant() }
    finally { $sha256.Dispose() }
}

Step certificate 'the server has a certificate for its names, and only the service can read the key' -Test {
    Compare-Folder $ServiceFolder $ServiceReads
    $certificate = Get-ServerCertificate
    if (-not $certificate) { Difference 'certificate' $null ($Settings.certificate.names -join ', '); return }
    if ($certificate.NotAfter.ToUniversalTime() -lt [DateTime]::UtcNow.AddDays([Math]::Min(30, $Settings.certificate.days / 2))) {
        Difference 'certificate' "ends $($certificate.NotAfter.ToUniversalTime().ToString('u'))" 'a new one'
    }
    elseif (-not (Test-TextFile $RequestFile (Get-CertificateRequest))) { Difference 'names of the certificate' 'others' ($Settings.certificate.names -join ', ') }
    $Run.Fingerprint = Get-Fingerprint $certificate
} -Apply {
    Add-Folder $StateFolder
    Add-Folder $ServiceFolder $ServiceReads   # before there is a key in it
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $RequestFile (Get-CertificateRequest)
    Invoke-Program (Get-OpenSsl) @('req', '-new', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-days', [string]$Settings.certificate.days,
        '-config', $RequestFile, '-keyout', "$KeyFile.new", '-out', "$CertificateFile.new") `
        -Todo 'If it says that a DLL is missing (code -1073741515): install the Visual C++ redistributable first'
    foreach ($file in $KeyFile, $CertificateFile) {
        if (Test-Path -LiteralPath $file) { [IO.File]::Delete($file) }
        [IO.File]::Move("$file.new", $file)
    }
}
