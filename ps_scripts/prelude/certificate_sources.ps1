# ---- prelude: certificates that this host does not sign itself -----------------------------------------
# Three sources: the workstation sends certificate and key; the machine's certificate store has them; or a
# key and a request are made here, and what a signer made of the request is sent.

$NewCertificateFile = Join-Path $ServiceFolder 'certificate-new.pem'
$NewKeyFile = Join-Path $ServiceFolder 'key-new.pem'

# What certificate.source says when a certificate is in place, whole: where it came from.
function Get-CertificateSource {
    $source = $Settings.certificate.source
    if ($source -eq 'store') { $source = "store $($Settings.certificate.thumbprint)" }
    $source
}

$CertificateNotes = @{ Told = $false }   # a Test runs more than once

function Compare-GivenCertificate($Certificate) {
    $source = Get-CertificateSource
    $before = $Run.Differences.Count
    $is = $null
    if ($Certificate) { $is = Get-Fingerprint $Certificate }
    if ($Secrets.ContainsKey('certificate.chain') -and -not (Test-TextFile $CertificateFile '@certificate.chain@' 'certificate.chain')) { Difference 'certificate' $is 'the one that was sent' }
    elseif ($Secrets.ContainsKey('certificate.key') -and -not (Test-TextFile $KeyFile '@certificate.key@' 'certificate.key')) { Difference 'key of the certificate' 'another or none' 'the one that was sent' }
    elseif (-not $Certificate) { Difference 'certificate' $null "from: $source" }
    elseif (-not (Test-TextFile $SourceFile $source)) { Difference 'source of the certificate' 'another' $source }
    # Before OpenSSL is there, its step differs, and this one is tested again after it.
    elseif ((Test-Path -LiteralPath (Get-OpenSsl)) -and -not (Test-KeyPair $CertificateFile $KeyFile)) { Difference 'key of the certificate' 'another one' 'its own' }
    else {
        $fault = Get-CertificateFault $Certificate
        if ($fault) { Difference 'certificate' $fault 'one that can be served' }
    }
    if ($Run.Differences.Count -gt $before) {
        if ($Settings.certificate.source -eq 'store') { [void](Get-StoreCertificate) }   # a plan tells what apply would miss
    }
    elseif (-not $CertificateNotes.Told -and $Certificate.NotAfter.ToUniversalTime() -lt [DateTime]::UtcNow.AddDays(30)) {
        $CertificateNotes.Told = $true
        Write-Event warning @{ text = "the certificate ends $($Certificate.NotAfter.ToUniversalTime().ToString('u')). Nothing renews it by itself: see docs/certificates.md" }
    }
}

function Install-GivenCertificate {
    switch ($Settings.certificate.source) {
        'workstation' { Install-SentCertificate }
        'store' { Install-StoreCertificate }
        'request' { Install-RequestedCertificate }
    }
}

# Takes the new certificate and $Key into use, if they belong together; else what was there stays. While
# they are moved, certificate.source says so: a run that is cut off here is done again.
function Complete-Certificate([string]$Key) {
    $fault = Get-CertificateFault (Read-Certificates $NewCertificateFile | Select-Object -First 1)
    if (-not $fault -and -not (Test-KeyPair $NewCertificateFile $Key)) { $fault = 'its key is another one' }
    if ($fault) {
        foreach ($file in $NewCertificateFile, $NewKeyFile) { if (Test-Path -LiteralPath $file) { [IO.File]::Delete($file) } }
        throw "the new certificate is refused, and nothing was replaced: $fault"
    }
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $SourceFile 'unfinished'
    Move-Over $NewCertificateFile $CertificateFile
    if ($Key -ne $KeyFile) { Move-Over $Key $KeyFile }
    Set-TextFile $SourceFile (Get-CertificateSource)
}

# ---- sent by the workstation

function Install-SentCertificate {
    if (-not ($Secrets.ContainsKey('certificate.chain') -and $Secrets.ContainsKey('certificate.key'))) {
        throw 'certificate and key are on the workstation: run nbserver apply there, or put both into the envelope (docs/by-hand.md)'
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    Set-TextFile $NewKeyFile '@certificate.key@' 'certificate.key'
    Complete-Certificate $NewKeyFile
}

# ---- from the machine's certificate store

function Get-StoreCertificate {
    $place = "Cert:\LocalMachine\My\$($Settings.certificate.thumbprint)"
    $store = New-Object Security.Cryptography.X509Certificates.X509Store 'My', 'LocalMachine'
    $store.Open('ReadOnly')
    try { $certificate = $store.Certificates | Where-Object { $_.Thumbprint -eq $Settings.certificate.thumbprint } | Select-Object -First 1 }
    finally { $store.Close() }
    if (-not $certificate) { throw "there is no $place. Import the certificate with its key for the local computer (certlm.msc, Personal), or correct certificate.thumbprint in the inventory" }
    if (-not $certificate.HasPrivateKey) { throw "$place has no private key here. Import it again with its key, marked as exportable" }
    $fault = Get-CertificateFault $certificate
    if ($fault) { throw "${place} cannot be served: $fault. Put another certificate into the store, and its thumbprint into the inventory" }
    $certificate
}

# The certificate and the authorities between it and its root, as Windows finds them.
function Get-StoreChain($Certificate) {
    $chain = New-Object Security.Cryptography.X509Certificates.X509Chain
    $chain.ChainPolicy.RevocationMode = 'NoCheck'
    [void]$chain.Build($Certificate)
    $pem = Format-Certificate $Certificate
    foreach ($element in @($chain.ChainElements | Select-Object -Skip 1)) {
        $issuer = $element.Certificate
        $self = [string]::Equals([BitConverter]::ToString($issuer.SubjectName.RawData), [BitConverter]::ToString($issuer.IssuerName.RawData))
        if (-not $self) { $pem += Format-Certificate $issuer }   # a root is not sent: who trusts it has it
    }
    $pem
}

function Install-StoreCertificate {
    $certificate = Get-StoreCertificate
    $pfx = Join-Path $ServiceFolder 'store.pfx'
    $export = Join-Path $ServiceFolder 'key-store.pem'
    foreach ($file in $pfx, $export, $NewKeyFile) { Save-FileBefore $file }
    $bytes = New-Object byte[] 32
    (New-Object Security.Cryptography.RNGCryptoServiceProvider).GetBytes($bytes)
    $password = [Convert]::ToBase64String($bytes)
    $secure = New-Object Security.SecureString
    foreach ($character in $password.ToCharArray()) { $secure.AppendChar($character) }
    $environment = @{ NBSERVER_PFX_PASSWORD = $password }
    # Older Windows encrypts a PFX with RC2: OpenSSL 3 opens that with -legacy only, which needs legacy.dll beside it.
    $open = 'pkcs12', '-in', $pfx, '-passin', 'env:NBSERVER_PFX_PASSWORD', '-nocerts', '-nodes', '-out', $export
    try {
        try { [void](Export-PfxCertificate -Cert $certificate -FilePath $pfx -Password $secure -ChainOption EndEntityCertOnly -Force) }
        catch { throw "the key of Cert:\LocalMachine\My\$($Settings.certificate.thumbprint) cannot be exported: $_. Import the certificate again with its key marked as exportable, or use certificate.pfx or certificate.request" }
        Invoke-Program (Get-OpenSsl) $open $environment -Accept 0, 1 -Quiet
        if ($Run.ExitCode) { Invoke-Program (Get-OpenSsl) ($open + '-legacy') $environment -Quiet -Todo 'This OpenSSL cannot open what Windows exported: it may lack legacy.dll. Choose another openssl.version, or use certificate.pfx' }
        Invoke-Program (Get-OpenSsl) @('pkey', '-in', $export, '-out', $NewKeyFile) -Quiet
    }
    finally {
        foreach ($file in $pfx, $export) { if (Test-Path -LiteralPath $file) { [IO.File]::Delete($file) } }
    }
    Set-TextFile $NewCertificateFile (Get-StoreChain $certificate)
    Complete-Certificate $NewKeyFile
}

# ---- requested here, signed elsewhere. A key in use is never replaced by one of an open request: that one
# ---- stands in its own file until its certificate is installed.

$RequestedKeyFile = Join-Path $ServiceFolder 'key-request.pem'
$SigningRequestFile = Join-Path $ServiceFolder 'request.csr'
$SigningConfiguration = Join-Path $ServiceFolder 'request.cnf'

# Tells the request; the same one again while its names are the same.
function Send-CertificateRequest {
    Add-Folder $StateFolder
    Add-Folder $ServiceFolder $ServiceReads   # before there is a key in it
    $open = (Test-Path -LiteralPath $SigningRequestFile) -and (Test-Path -LiteralPath $RequestedKeyFile)
    if ($open -and (Test-TextFile $SigningConfiguration (Get-CertificateRequest))) { Write-Event unchanged }
    else {
        foreach ($file in $RequestedKeyFile, $SigningRequestFile) { Save-FileBefore $file }
        if (Test-Path -LiteralPath $SigningRequestFile) { [IO.File]::Delete($SigningRequestFile) }
        Set-TextFile $SigningConfiguration (Get-CertificateRequest)
        Invoke-Program (Get-OpenSsl) @('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-config', $SigningConfiguration,
            '-keyout', $RequestedKeyFile, '-out', "$SigningRequestFile.new")
        Move-Over "$SigningRequestFile.new" $SigningRequestFile
        $Run.Changed++
        Write-Event changed
    }
    Write-Event request @{ csr = [IO.File]::ReadAllText($SigningRequestFile, $Utf8) -replace "`r", '' }
}

function Install-RequestedCertificate {
    if (-not $Secrets.ContainsKey('certificate.chain')) {
        throw "no certificate for this host's request is installed, or it cannot be served any more. On the workstation: nbserver certificate request $($Settings.host) -o DIR; have the file in DIR signed; nbserver certificate install $($Settings.host) FILE"
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    # The key in use may be meant as well: a chain that was mended, or an install that was cut off.
    $requested = (Test-Path -LiteralPath $RequestedKeyFile) -and (Test-KeyPair $NewCertificateFile $RequestedKeyFile)
    if (-not $requested) { Complete-Certificate $KeyFile; return }
    Complete-Certificate $RequestedKeyFile
    foreach ($file in $SigningRequestFile, $SigningConfiguration) { if (Test-Path -LiteralPath $file) { [IO.File]::Delete($file) } }
}
