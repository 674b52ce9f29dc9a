# ---- step: tool, an installer of Inno Setup's kind; it may ask for a reboot ----------------------------

Add-Step tool 'the tool is installed' -Test {
    if (-not (Test-Path -LiteralPath 'C:\faults\tool\bin\openssl.exe')) { Difference 'tool' $null 'installed' }
} -Apply {
    Install-Inno 'C:\faults\setup.exe' 'C:\faults\tool'
}
