# ---- step: vc_redist, an installer before a certificate can be requested -------------------------------

Add-Step vc_redist 'the runtime is installed' -Test {
    if (-not (Test-Path -LiteralPath 'C:\faults\tool\bin\openssl.exe')) { Difference 'runtime' $null 'installed' }
} -Apply {
    Install-Inno 'C:\faults\setup.exe' 'C:\faults\tool'
}
