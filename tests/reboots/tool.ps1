# ---- step: tool, an installer like those of Inno Setup; it may ask for a reboot ----------------------

$Programs = 'C:\faults'   # where undo may start uninstallers

Add-Step tool 'The tool is installed' -Test {
    if (-not (Test-Path -LiteralPath 'C:\faults\tool\bin\openssl.exe')) { Add-Difference tool 'tool' $null 'installed' }
} -Apply {
    Install-Inno 'C:\faults\setup.exe' 'C:\faults\tool'
}
