# ---- prelude: certificate_requests -----------------------------------------------------------------
# Create certificate requests, and install what is issued for them.

# An open request is in its own folder, and its key never replaces a key in use. Only administrators can read the
# folder: while an authority signs the request, the server runs, and a notebook can read what the service reads.

$RequestFolder = Join-Path $StateFolder 'request'
$RequestedKeyFile = Join-Path $RequestFolder 'key-request.pem'
$SigningRequestFile = Join-Path $RequestFolder 'request.csr'
$SigningConfiguration = Join-Path $RequestFolder 'request.cnf'
$EarlierRequest = 'key-request.pem', 'request.csr', 'request.cnf'   # in $ServiceFolder, from releases before 0.7

# Report the request. As long as its names stay the same, it is the same request, until a certificate is installed.
function Send-CertificateRequest {
    Add-Folder $StateFolder
    Add-Folder $RequestFolder $StateAccess               # its access list is set before a key is in it
    if (Test-OpenRequest) { Write-Event unchanged }
    else {
        New-SigningRequest
        $Run.Changed++
        Write-Event changed
    }
    Write-Event request @{ csr = [IO.File]::ReadAllText($SigningRequestFile, $Utf8) -replace "`r", '' }
}

# An installation that was interrupted may have left the request of the key in use.
function Test-OpenRequest {
    foreach ($file in $SigningRequestFile, $RequestedKeyFile) {
        if (-not (Test-Path -LiteralPath $file)) { return $false }
    }
    if (-not (Test-TextFile $SigningConfiguration (Get-CertificateRequest))) { return $false }
    -not (Get-ServerCertificate) -or -not (Test-KeyPair $CertificateFile $RequestedKeyFile)
}

# The request is moved to its place when it is complete.
function New-SigningRequest {
    foreach ($file in $RequestedKeyFile, $SigningRequestFile) { Save-FileBefore $file }
    Remove-SingleFile $SigningRequestFile
    Set-TextFile $SigningConfiguration (Get-CertificateRequest)
    $arguments = 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-config', $SigningConfiguration, '-keyout', $RequestedKeyFile, '-out', "$SigningRequestFile.new"
    Invoke-OpenSsl $arguments -Code request-not-created -Text ('openssl could not create the certificate request ' +
        '(exit code {exit_code}): {output}. Fix this error, then run nbserver certificate request again')
    Move-Over "$SigningRequestFile.new" $SigningRequestFile
    foreach ($name in $EarlierRequest) { Remove-SingleFile (Join-Path $ServiceFolder $name) }
}

# The certificate may also be for the key in use, if only its chain is corrected, or if an installation was cut off.
function Install-RequestedCertificate {
    if (-not $Secrets.ContainsKey('certificate.chain')) {
        throw (New-Failure certificate-not-issued ('no certificate has been installed for this host''s certificate ' +
                'request. Run nbserver certificate request {host} -o DIR, have the request in DIR signed, then run ' +
                'nbserver certificate install {host} FILE with the signed certificate') @{ host = $Settings.host })
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    $requested = Get-RequestedKeyFile
    if (-not $requested) {
        Complete-Certificate $KeyFile
        return
    }
    # A file that is moved keeps its access list, so the service could not read the key.
    Read-SecretFile 'requested.key' $requested
    Set-TextFile $NewKeyFile '@requested.key@' 'requested.key'
    Complete-Certificate $NewKeyFile
    foreach ($file in $SigningRequestFile, $SigningConfiguration, $RequestedKeyFile) { Remove-SingleFile $file }
    foreach ($name in $EarlierRequest) { Remove-SingleFile (Join-Path $ServiceFolder $name) }
}

# Return the file with the requested key that the new certificate is for, or nothing. Its request may come from an
# earlier release.
function Get-RequestedKeyFile {
    foreach ($file in $RequestedKeyFile, (Join-Path $ServiceFolder $EarlierRequest[0])) {
        if ((Test-Path -LiteralPath $file) -and (Test-KeyPair $NewCertificateFile $file)) { return $file }
    }
}

# Mode request: apply what a certificate request needs, then report the request.
function Invoke-Request {
    if ($Settings.certificate.source -ne 'request') {
        throw (New-Failure no-certificate-request ('this host is not set up for certificate requests. Set ' +
                'certificate.request = true in the inventory, then try again'))
    }
    foreach ($step in $Steps) {
        if ('preflight', 'tls', 'vc_redist', 'openssl' -contains $step.Name) { Invoke-Apply $step }
        if ($Run.Outcome -eq 'reboot') { Invoke-Hook AtRestart; return }
    }
    $Run.Step = 'certificate'
    Send-CertificateRequest
}

$Modes.request = { Invoke-Request }
$ChangingModes += 'request'
