# ---- step: certificate -----------------------------------------------------------------------------
# Provide a certificate for the server; only administrators and it can read the key.

# By default, OpenSSL creates the certificate on the host, as prelude/own_certificate describes.
# prelude/certificate_sources has the other sources.

function New-OwnCertificate([string]$NewKey, [string]$NewCertificate) {
    $arguments = 'req', '-new', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-days', [string]$Settings.certificate.days, '-config', $RequestFile, '-keyout', $NewKey, '-out', $NewCertificate
    Invoke-OpenSsl $arguments -Code certificate-not-created -Text ('openssl could not create the certificate (exit ' +
        'code {exit_code}): {output}. Fix this error (if the exit code is -1073741515, install the Visual C++ ' +
        'redistributable), then run nbserver apply again')
}

# Return false if the key is that of another certificate, or damaged: the server could not start. This is not known if
# OpenSSL does not run, which is the business of the steps before.
function Test-OwnKeyPair {
    if (-not (Test-Path -LiteralPath (Get-OpenSsl))) { return $true }
    try { Test-KeyPair $CertificateFile $KeyFile } catch { $true }
}

Add-Step certificate 'The server has a certificate for its names and a private key that only it can read' -Test {
    Compare-Folder $ServiceFolder $ServiceReads
    $certificate = Get-ServerCertificate
    if ($certificate) { $Run.Fingerprint = Get-Fingerprint $certificate }
    if ($Settings.certificate.source -eq 'host') { Compare-OwnCertificate $certificate }
    else { Compare-GivenCertificate $certificate }
} -Apply {
    Add-Folder $StateFolder
    Add-Folder $ServiceFolder $ServiceReads   # its access list is set before a key is in it
    if (-not (Test-CertificateDue)) { return }
    if ($Settings.certificate.source -eq 'host') { Install-OwnCertificate } else { Install-GivenCertificate }
}
