# ---- step: tool2, a second installer after the first -------------------------------------------------

$Programs = 'C:\faults'   # where undo may start uninstallers

Add-Step tool2 'The second tool is installed' -Test {
    if (-not (Test-Path -LiteralPath 'C:\faults\tool2\bin\openssl.exe')) { Add-Difference tool2 'tool2' $null 'installed' }
} -Apply {
    Install-Inno 'C:\faults\setup.exe' 'C:\faults\tool2'
}
