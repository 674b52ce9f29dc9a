# ---- prelude: certificate_requests -----------------------------------------------------------------
# Create certificate requests, and install what is issued for them.

# The key of an open request is in its own file until its certificate is installed. It never replaces a key in use.

$RequestedKeyFile = Join-Path $ServiceFolder 'key-request.pem'
$SigningRequestFile = Join-Path $ServiceFolder 'request.csr'
$SigningConfiguration = Join-Path $ServiceFolder 'request.cnf'

# Report the request. As long as its names stay the same, it is the same request.
function Send-CertificateRequest {
    Add-Folder $StateFolder
    Add-Folder $ServiceFolder $ServiceReads              # its access list is set before a key is in it
    $isOpen = (Test-Path -LiteralPath $SigningRequestFile) -and (Test-Path -LiteralPath $RequestedKeyFile)
    if ($isOpen -and (Test-TextFile $SigningConfiguration (Get-CertificateRequest))) { Write-Event unchanged }
    else {
        New-SigningRequest
        $Run.Changed++
        Write-Event changed
    }
    Write-Event request @{ csr = [IO.File]::ReadAllText($SigningRequestFile, $Utf8) -replace "`r", '' }
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
}

# The certificate may also be for the key in use, if only its chain is corrected, or if an installation was cut off.
function Install-RequestedCertificate {
    if (-not $Secrets.ContainsKey('certificate.chain')) {
        throw (New-Failure certificate-not-issued ('no certificate has been installed for this host''s certificate ' +
                'request. Run nbserver certificate request {host} -o DIR, have the request in DIR signed, then run ' +
                'nbserver certificate install {host} FILE with the signed certificate') @{ host = $Settings.host })
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    $isRequested = (Test-Path -LiteralPath $RequestedKeyFile) -and (Test-KeyPair $NewCertificateFile $RequestedKeyFile)
    if (-not $isRequested) {
        Complete-Certificate $KeyFile
        return
    }
    Complete-Certificate $RequestedKeyFile
    foreach ($file in $SigningRequestFile, $SigningConfiguration) { Remove-SingleFile $file }
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
