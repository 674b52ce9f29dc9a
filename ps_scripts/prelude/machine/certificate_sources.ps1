# ---- prelude: certificate_sources ------------------------------------------------------------------
# Compare and install certificates that the host does not sign itself.

# Such a certificate has one of three sources: the workstation sends it with its key; it is in the certificate store of
# the machine; or the host creates a key and a request, and the workstation sends the certificate that was issued.

$NewCertificateFile = Join-Path $ServiceFolder 'certificate-new.pem'
$NewKeyFile = Join-Path $ServiceFolder 'key-new.pem'
$CertificateNotes = @{ Written = $false }                # a Test runs more than once; its warning is written once

# Return what certificate.source contains if the certificate was installed completely.
function Get-CertificateSource {
    $source = $Settings.certificate.source
    if ($source -eq 'store') { $source = "store $($Settings.certificate.thumbprint)" }
    $source
}

function Compare-GivenCertificate($Certificate) {
    $before = $Run.Differences.Count
    Compare-SentCertificate $Certificate
    if ($Run.Differences.Count -eq $before) { Compare-InstalledCertificate $Certificate }
    if ($Run.Differences.Count -eq $before) { Write-ExpiryNotice $Certificate }
    # What the store lacks is reported by a plan already.
    elseif ($Settings.certificate.source -eq 'store') { [void](Get-StoreCertificate) }
}

# Compare the files with what the workstation sent. A test by hand has no secrets, so it compares nothing.
function Compare-SentCertificate($Certificate) {
    if ($Secrets.ContainsKey('certificate.chain') -and
        -not (Test-TextFile $CertificateFile '@certificate.chain@' 'certificate.chain')) {
        $is = $null
        if ($Certificate) { $is = Get-Fingerprint $Certificate }
        Add-Difference certificate-not-sent 'certificate' $is 'the certificate from the workstation'
        return
    }
    if ($Secrets.ContainsKey('certificate.key') -and
        -not (Test-TextFile $KeyFile '@certificate.key@' 'certificate.key')) {
        Add-Difference certificate-key-not-sent 'private key' 'different or missing' 'the key from the workstation'
    }
}

# Before OpenSSL is installed, the key cannot be compared; the step openssl differs then, and this test runs again.
function Compare-InstalledCertificate($Certificate) {
    $source = Get-CertificateSource
    if (-not $Certificate) {
        Add-Difference certificate-missing 'certificate' $null $source
        return
    }
    if (-not (Test-TextFile $SourceFile $source)) {
        Add-Difference certificate-source 'certificate source' 'a different source' $source
        return
    }
    if ((Test-Path -LiteralPath (Get-OpenSsl)) -and -not (Test-KeyPair $CertificateFile $KeyFile)) {
        Add-Difference certificate-key 'private key' 'not the key for the certificate' 'the key for the certificate'
        return
    }
    $fault = Get-CertificateFault $Certificate
    if ($fault) {
        Add-Difference certificate-not-suitable 'certificate ({cause})' 'unsuitable' 'suitable' @{
            cause = $fault.Message
        }
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

# Warn in the last third of the certificate's lifetime, but not earlier than 30 days before its end. A program that
# renews certificates of 45 or 90 days has time to do so before this warning.
function Write-ExpiryNotice($Certificate) {
    $end = $Certificate.NotAfter.ToUniversalTime()
    $days = [Math]::Min(30, ($Certificate.NotAfter - $Certificate.NotBefore).TotalDays / 3)
    if ($CertificateNotes.Written -or $end -ge [DateTime]::UtcNow.AddDays($days)) { return }
    $CertificateNotes.Written = $true
    Write-Notice warning certificate-expires-soon ('the certificate expires on {time} and is not renewed ' +
        'automatically. Replace the certificate as described in docs/certificates.md') @{ time = $end.ToString('u') }
}

function Install-GivenCertificate {
    switch ($Settings.certificate.source) {
        'workstation' { Install-SentCertificate }
        'store' { Install-StoreCertificate }
        'request' { Install-RequestedCertificate }
    }
}

function Install-SentCertificate {
    if (-not ($Secrets.ContainsKey('certificate.chain') -and $Secrets.ContainsKey('certificate.key'))) {
        throw (New-Failure certificate-on-workstation ('the certificate and its private key were not sent to this ' +
                'host. Run nbserver apply on the workstation, or pass both to this script on standard input (see ' +
                'docs/by-hand.md)'))
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    Set-TextFile $NewKeyFile '@certificate.key@' 'certificate.key'
    Complete-Certificate $NewKeyFile
}

# Use the new certificate with this key, if it is suitable and the key is its key; else keep the installed one. Two
# files cannot be replaced at once: until both are, certificate.source makes the next run install them again.
function Complete-Certificate([string]$Key) {
    Assert-NewCertificate $Key
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $SourceFile 'unfinished'
    Move-Over $NewCertificateFile $CertificateFile
    if ($Key -ne $KeyFile) { Move-Over $Key $KeyFile }
    Set-TextFile $SourceFile (Get-CertificateSource)
}

function Assert-NewCertificate([string]$Key) {
    $fault = Get-CertificateFault (Read-Certificate $NewCertificateFile | Select-Object -First 1)
    if (-not $fault -and -not (Test-KeyPair $NewCertificateFile $Key)) {
        $fault = New-Failure certificate-other-key 'the certificate does not match the private key'
    }
    if (-not $fault) { return }
    foreach ($file in $NewCertificateFile, $NewKeyFile) { Remove-SingleFile $file }
    throw (New-Failure certificate-refused ('the new certificate was not installed: {cause}. Provide a different ' +
            'certificate, then try again') `
            -Cause $fault)
}
