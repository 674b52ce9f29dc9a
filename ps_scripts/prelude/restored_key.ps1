# ---- prelude: restored_key -------------------------------------------------------------------------
# Give the server the private key and the certificate of a backup: mode restore-key.

# The workstation sends both, and has checked that they belong together and are for this host. If the server does not
# start with them, the previous files are restored.

function Invoke-KeyRestore {
    Assert-OwnCertificate
    Assert-Installed
    Assert-MayStart
    Reset-Difference 'certificate'
    foreach ($name in 'certificate.chain', 'certificate.key') {
        if (Get-SecretPart $name '\A(-----BEGIN )') { continue }
        throw (New-Failure restored-key-not-sent ('the private key and certificate in the backup were not sent ' +
                'to this host. Run nbserver restore --with-key on the workstation'))
    }
    if (-not (Test-TextFile $KeyFile '@certificate.key@' 'certificate.key') -or
        -not (Test-TextFile $CertificateFile '@certificate.chain@' 'certificate.chain')) {
        Add-Difference restored-key 'private key and certificate' $Run.Fingerprint 'from the backup'
        Switch-Certificate -Restored
        return
    }
    Write-Event unchanged
    if (Test-CurrentServer) { return }
    Write-RestartStart                                   # an earlier run was interrupted
    Restart-Server
    Write-ChangeEnd
    Assert-ServerProven
}

# As in Install-OwnCertificate: if this is cut off, the next apply creates a certificate.
function Install-RestoredCertificate {
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $SourceFile 'unfinished'
    Set-TextFile $KeyFile '@certificate.key@' 'certificate.key'
    Set-TextFile $CertificateFile '@certificate.chain@' 'certificate.chain'
    Set-TextFile $SourceFile 'host'
}

$Modes['restore-key'] = { Invoke-KeyRestore }
$ChangingModes += 'restore-key'
