# ---- prelude: rotated_keys -------------------------------------------------------------------------
# Refuse a rotation with a certificate that has the old key.

# Whoever could read the old key can still pretend to be this server with it.

# The host creates a new key for its own certificate. Any other certificate comes with its key.
function Assert-NewKey {
    $Run.Step = 'certificate'
    try { Assert-OtherKey (Get-RotatedCertificate) }
    finally { Remove-SingleFile $NewCertificateFile }
}

function Assert-OtherKey($New) {
    $old = $Former.Key
    if (-not $Former.Run) {
        $certificate = Get-ServerCertificate
        if ($certificate) { $old = Get-KeyDigest $certificate }
    }
    if ($New -and (Get-KeyDigest $New) -eq $old) {
        throw (New-Failure rotate-same-key ('nothing was changed, because the certificate in the inventory still ' +
                'uses the old key, which earlier users could read. Create a certificate with a new key, then ' +
                'try again'))
    }
    if ($Settings.certificate.source -eq 'request') { Assert-RequestedKey $New }
}

# Earlier users could read a key that an earlier release has requested. A rotation that was interrupted may have
# installed the new key already.
function Assert-RequestedKey($Certificate) {
    if ($Former.Run) {
        $installed = Get-ServerCertificate
        if ($installed -and (Get-KeyDigest $installed) -eq (Get-KeyDigest $Certificate)) { return }
    }
    if ((Test-Path -LiteralPath $RequestedKeyFile) -and (Test-KeyPair $NewCertificateFile $RequestedKeyFile)) { return }
    throw (New-Failure rotate-key-not-requested ('nothing was changed, because the certificate does not match the ' +
            'current certificate request of this host. Run nbserver certificate request {host} -o DIR, have the ' +
            'request in DIR signed, then run nbserver rotate {host} --certificate FILE with the signed ' +
            'certificate') @{ host = $Settings.host })
}

# Return the certificate that this rotation will install, unless the host creates it.
function Get-RotatedCertificate {
    if ($Settings.certificate.source -eq 'host') { return }
    if ($Settings.certificate.source -eq 'store') { return Get-StoreCertificate }
    if (-not $Secrets.ContainsKey('certificate.chain')) {
        throw (New-Failure rotate-without-certificate-sent ('the rotation requires a certificate with a new key, ' +
                'which the workstation did not send. Run nbserver rotate on the workstation'))
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    Read-Certificate $NewCertificateFile | Select-Object -First 1
}

# Code in a notebook runs as LOCAL SERVICE, which may register tasks.
function Write-AccountNotice {
    Write-Notice warning rotated-local-service ('notebooks run as LOCAL SERVICE, so they may have registered tasks ' +
        'or left processes running that nbserver does not know about. Check the tasks and processes of this account')
}
