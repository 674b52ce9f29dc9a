# ---- step: certificate -----------------------------------------------------------------------------
# Provide a certificate for the server; only the user and administrators can read the key.

Add-Step certificate 'The server has a certificate for its names and a private key that only it can read' -Test {
    Compare-Folder $ServiceFolder $ServiceReads
    $certificate = Get-ServerCertificate
    if ($certificate) { $Run.Fingerprint = Get-Fingerprint $certificate }
    Compare-OwnCertificate $certificate
} -Apply {
    Add-Folder $StateFolder
    Add-Folder $ServiceFolder $ServiceReads   # its access list is set before a key is in it
    if (-not (Test-CertificateDue)) { return }
    Install-OwnCertificate
}
