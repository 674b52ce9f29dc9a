# ---- prelude: certificate_store --------------------------------------------------------------------
# Export certificate, key, and chain from the machine's certificate store.

function Get-StorePath { "Cert:\LocalMachine\My\$($Settings.certificate.thumbprint)" }

# Return the certificate of the settings, or fail if the server cannot use it.
function Get-StoreCertificate {
    $path = Get-StorePath
    $certificate = Read-Store $Settings.certificate.thumbprint
    if (-not $certificate) {
        throw (New-Failure store-certificate-missing ('{path} does not exist. Import the certificate with its ' +
                'private key into the local computer''s Personal store (certlm.msc), or correct ' +
                'certificate.thumbprint in the inventory') @{
                path = $path
            })
    }
    if (-not $certificate.HasPrivateKey) {
        throw (New-Failure store-certificate-without-key ('{path} has no private key on this host. Import the ' +
                'certificate again with its private key, marked as exportable, then try again') @{ path = $path })
    }
    $fault = Get-CertificateFault $certificate
    if ($fault) {
        throw (New-Failure store-certificate-refused ('{path} cannot be used: {cause}. Import another certificate, ' +
                'and set certificate.thumbprint in the inventory to its thumbprint') @{ path = $path } -Cause $fault)
    }
    $certificate
}

function Read-Store([string]$Thumbprint) {
    $store = New-Object Security.Cryptography.X509Certificates.X509Store 'My', 'LocalMachine'
    $store.Open('ReadOnly')
    try { $store.Certificates | Where-Object { $_.Thumbprint -eq $Thumbprint } | Select-Object -First 1 }
    finally { $store.Close() }
}

# Return the certificate and the authorities up to its root as PEM, as Windows finds them. A client that trusts the root
# has it already: a certificate whose issuer is itself is left out.
function Get-StoreChain($Certificate) {
    $chain = New-Object Security.Cryptography.X509Certificates.X509Chain
    $chain.ChainPolicy.RevocationMode = 'NoCheck'
    [void]$chain.Build($Certificate)
    $pem = Format-Certificate $Certificate
    foreach ($element in @($chain.ChainElements | Select-Object -Skip 1)) {
        $authority = $element.Certificate
        $subject = [BitConverter]::ToString($authority.SubjectName.RawData)
        $issuer = [BitConverter]::ToString($authority.IssuerName.RawData)
        if ($subject -cne $issuer) { $pem += Format-Certificate $authority }
    }
    $pem
}

# Return a certificate as PEM, with 64 characters per line.
function Format-Certificate($Certificate) {
    $lines = [regex]::Replace([Convert]::ToBase64String($Certificate.RawData), '.{1,64}', "`$0`n")
    "-----BEGIN CERTIFICATE-----`n$lines-----END CERTIFICATE-----`n"
}

function Install-StoreCertificate {
    $certificate = Get-StoreCertificate
    $pfx = Join-Path $ServiceFolder 'store.pfx'
    $export = Join-Path $ServiceFolder 'key-store.pem'
    foreach ($file in $pfx, $export, $NewKeyFile) { Save-FileBefore $file }
    $variables = @{ NBSERVER_PFX_PASSWORD = New-RandomPassword }
    try {
        Export-StoreKey $certificate $pfx $variables
        Convert-StoreKey $pfx $export $variables
        Invoke-OpenSsl @('pkey', '-in', $export, '-out', $NewKeyFile) -Quiet
    }
    finally {
        foreach ($file in $pfx, $export) { Remove-SingleFile $file }
    }
    Set-TextFile $NewCertificateFile (Get-StoreChain $certificate)
    Complete-Certificate $NewKeyFile
}

# Return a random password. It protects the exported file until that is deleted, a moment later. Programs read it from
# a variable of their environment, so it is in no command line.
function New-RandomPassword {
    $bytes = New-Object byte[] 32
    (New-Object Security.Cryptography.RNGCryptoServiceProvider).GetBytes($bytes)
    [Convert]::ToBase64String($bytes)
}

function Export-StoreKey {
    param($Certificate, [string]$Pfx, [hashtable]$Variables)
    $secure = New-Object Security.SecureString
    foreach ($character in $Variables.NBSERVER_PFX_PASSWORD.ToCharArray()) { $secure.AppendChar($character) }
    try {
        [void](Export-PfxCertificate -Cert $Certificate -FilePath $Pfx -Password $secure `
                -ChainOption EndEntityCertOnly -Force)
    }
    catch {
        throw (New-Failure store-key-not-exportable ('could not export the private key for {path}: {cause}. Import ' +
                'the certificate again with its private key marked as exportable, or use certificate.pfx or ' +
                'certificate.request instead of certificate.thumbprint') @{ path = Get-StorePath } -Cause $_.Exception)
    }
}

# Older versions of Windows encrypt the file with RC2. OpenSSL 3 opens it only with -legacy, which needs legacy.dll.
function Convert-StoreKey {
    param([string]$Pfx, [string]$Export, [hashtable]$Variables)
    $arguments = 'pkcs12', '-in', $Pfx, '-passin', 'env:NBSERVER_PFX_PASSWORD', '-nocerts', '-nodes', '-out', $Export
    Invoke-OpenSsl $arguments $Variables -Accept 0, 1 -Quiet
    if (-not $Run.ExitCode) { return }
    Invoke-OpenSsl ($arguments + '-legacy') $Variables -Quiet -Code store-export-unreadable -Text ('openssl could ' +
        'not read the private key that Windows exported (exit code {exit_code}): {output}. Set openssl.version to a ' +
        'version that includes legacy.dll, or use certificate.pfx instead of certificate.thumbprint')
}
