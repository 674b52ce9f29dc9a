# ---- prelude: server_secrets -----------------------------------------------------------------------
# Replace only the password or the certificate: modes set-password and rotate-certificate.

# The server restarts as it is installed, as in prelude/server_life. What else differs from the settings stays as it is.

# Mode set-password. If an interrupted run has written the hash, the server restarts.
function Invoke-SetPassword {
    Assert-Installed
    Assert-MayStart
    Reset-Difference 'notebook'
    Request-Secret $HashSecret 'Hash of the new notebook password (nbserver hash-password creates it)'
    Assert-PasswordHash
    $text = [IO.File]::ReadAllText($ConfigurationFile, $Utf8)
    $old = [regex]::Match($text, $HashPattern).Groups[1].Value
    if (-not $old) {
        throw (New-Failure password-not-found '{path} contains no password hash. Run nbserver apply instead' @{
                path = $ConfigurationFile
            })
    }
    if ([string]::Equals($old, (Expand-Secret "@$HashSecret@" $HashSecret))) {
        Write-Event unchanged
        if (Test-CurrentServer) { return }
    }
    else {
        Add-Difference rotated-password 'notebook password' 'the previous one' 'a new one'
        Write-ChangeStart
        Set-SavedPassword
        Set-TextFile $ConfigurationFile $text.Replace($old, "@$HashSecret@") $HashSecret   # the rest stays
        Write-ChangeEnd
    }
    Write-RestartStart
    Restart-Server
    Write-ChangeEnd
    Assert-ServerProven
}

# If an apply was cut off, what it has saved gets the new password, too. Otherwise an apply that fails would restore the
# one that was replaced here.
function Set-SavedPassword {
    $file = Join-Path $SwitchFolder (Split-Path -Leaf $ConfigurationFile)
    if (-not (Test-Path -LiteralPath $file)) { return }
    $text = [IO.File]::ReadAllText($file, $Utf8)
    $old = [regex]::Match($text, $HashPattern).Groups[1].Value
    if ($old) { Write-TextFile $file $text.Replace($old, "@$HashSecret@") $HashSecret }
}

# Mode rotate-certificate. The server has read its files when it started, so it serves the previous certificate until it
# restarts. If it does not start with the new one, the previous files are restored. If this run is interrupted, the
# files are newer than the server, and the next run restarts it.
function Invoke-CertificateRotation {
    Assert-OwnCertificate
    Assert-Installed
    Assert-MayStart
    Reset-Difference 'certificate'
    Add-Difference rotated-key 'private key and certificate' $Run.Fingerprint 'a new key and certificate'
    Switch-Certificate
}

function Assert-OwnCertificate {
    if (Test-OwnCertificate) { return }
    throw (New-Failure certificate-not-of-host ('this host does not create its own certificate, so nbserver cannot ' +
            'replace the certificate. Replace it as described in docs/certificates.md'))
}

# Replace the certificate with a new one, or with that of a backup, and restart the server with it.
function Switch-Certificate([switch]$Restored) {
    $files = Read-CertificateFile
    $fingerprint = $Run.Fingerprint
    Write-ChangeStart
    try { if ($Restored) { Install-RestoredCertificate } else { Install-OwnCertificate } }
    catch {
        Restore-CertificateFile $files
        throw
    }
    Write-ChangeEnd
    $Run.Fingerprint = Get-Fingerprint (Get-ServerCertificate)
    Write-RestartStart
    try { Start-WithCertificate }
    catch {
        $cause = $_.Exception
        Restore-CertificateFile $files
        $Run.Fingerprint = $fingerprint
        Start-WithCertificate
        throw (New-Failure certificate-switched-back-windows ('the server did not start with the new certificate, so ' +
                'the previous one is in use again: {cause}') -Cause $cause)
    }
    Write-ChangeEnd
    Assert-ServerProven
}

function Start-WithCertificate {
    Restart-Server
    [void](Wait-Server)
    if ((Get-ServerFingerprint) -eq $Run.Fingerprint) { return }
    throw (New-Failure other-certificate-shown ('the server on TCP port {port} does not present the installed ' +
            'certificate') @{
            port = $Settings.notebook.port
        })
}

# Keep the key in $Secrets. Return the texts of the other files of the certificate by their paths.
function Read-CertificateFile {
    Read-SecretFile 'previous.key' $KeyFile
    $found = @{}
    foreach ($file in $CertificateFile, $RequestFile, $SourceFile) {
        if (Test-Path -LiteralPath $file) { $found[$file] = [IO.File]::ReadAllText($file, $Utf8) }
    }
    $found
}

# Until all files are restored, certificate.source makes the next apply create a certificate.
function Restore-CertificateFile([hashtable]$Files) {
    Write-TextFile $SourceFile 'unfinished'
    Write-TextFile $KeyFile '@previous.key@' 'previous.key'
    foreach ($file in $CertificateFile, $RequestFile, $SourceFile) {
        if ($Files.ContainsKey($file)) { Write-TextFile $file $Files[$file] }
    }
}

$Modes['set-password'] = { Invoke-SetPassword }
$Modes['rotate-certificate'] = { Invoke-CertificateRotation }
$ChangingModes += 'set-password', 'rotate-certificate'
