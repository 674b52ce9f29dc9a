# Export-PfxCertificate. Wine's store is real and holds a certificate with its key, but hands out no key; here a key that may
# be exported stands in C:\nbserver-test\certificates\THUMBPRINT.key (PEM). The PFX is a real one, made by the host's OpenSSL.

function global:Export-PfxCertificate {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory = $true)] [Security.Cryptography.X509Certificates.X509Certificate2]$Cert,
        [Parameter(Mandatory = $true)] [string]$FilePath,
        [Parameter(Mandatory = $true)] [Security.SecureString]$Password,
        [ValidateSet('BuildChain', 'EndEntityCertOnly')] [string]$ChainOption = 'BuildChain',
        [switch]$Force
    )
    $folder = Get-StandInFolder 'certificates'
    $key = Join-Path $folder "$($Cert.Thumbprint).key"
    if (-not [IO.File]::Exists($key)) {
        $text = 'Cannot export non-exportable private key.'
        $PSCmdlet.ThrowTerminatingError((New-StandInError $text 'System.ComponentModel.Win32Exception' 'InvalidOperation' $Cert))
    }
    if ([IO.File]::Exists($FilePath) -and -not $Force) {
        $PSCmdlet.ThrowTerminatingError((New-StandInError "The file '$FilePath' already exists." 'System.IO.IOException' 'InvalidOperation' $FilePath))
    }
    $ready = Join-Path $folder "$($Cert.Thumbprint).pfx"   # what no OpenSSL can open, where a test wants it
    if ([IO.File]::Exists($ready)) { [IO.File]::Copy($ready, $FilePath, $true); return }
    $pem = Join-Path $folder "$($Cert.Thumbprint).pem"
    $lines = [Convert]::ToBase64String($Cert.RawData, [Base64FormattingOptions]::InsertLineBreaks)
    [IO.File]::WriteAllText($pem, "-----BEGIN CERTIFICATE-----`n$lines`n-----END CERTIFICATE-----`n")
    $start = New-Object Diagnostics.ProcessStartInfo
    $start.FileName = @([IO.Directory]::GetFiles('C:\Program Files', 'openssl.exe', 'AllDirectories'))[0]
    $start.Arguments = "pkcs12 -export -in `"$pem`" -inkey `"$key`" -out `"$FilePath`" -passout env:STAND_IN_PASSWORD"
    $start.EnvironmentVariables['STAND_IN_PASSWORD'] = (New-Object Net.NetworkCredential '', $Password).Password
    $start.UseShellExecute = $false
    $start.RedirectStandardInput = $true
    $start.RedirectStandardError = $true
    $process = [Diagnostics.Process]::Start($start)
    $process.StandardInput.Close()
    $words = $process.StandardError.ReadToEnd()
    $process.WaitForExit()
    if ($process.ExitCode) { throw "the stand-in's openssl ended with $($process.ExitCode): $words" }
    Get-Item -LiteralPath $FilePath
}
