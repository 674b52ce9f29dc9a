# ---- step: vc_redist, an installer before a certificate can be requested -----------------------------

$Programs = 'C:\faults'   # where undo may start uninstallers

Add-Step vc_redist 'The runtime is installed' -Test {
    if (-not (Test-Path -LiteralPath 'C:\faults\tool\bin\openssl.exe')) { Add-Difference runtime 'runtime' $null 'installed' }
} -Apply {
    Install-Inno 'C:\faults\setup.exe' 'C:\faults\tool'
}
