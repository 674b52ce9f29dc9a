# ---- step: ie_esc --------------------------------------------------------------------------------------
# Windows Server's Internet Explorer Enhanced Security Configuration, as Server Manager's switch sets it.
# Only an existing value is touched: without it (Server Core, Windows 10 and 11) there is nothing to switch.
# A startup task puts the value back should this run be cut off before it can.
# Source: DSC_IEEnhancedSecurityConfiguration in ComputerManagementDsc.

$IeEscForAdministrators = 'HKLM:\SOFTWARE\Microsoft\Active Setup\Installed Components\{A509B1A7-37EF-4b3f-8CFC-4F3A74704073}'

Add-Step ie_esc 'IE Enhanced Security Configuration is off for administrators while the other steps run' -Bracket -Test {
    if (Get-RegistryValue $IeEscForAdministrators IsInstalled) {
        Compare-RegistryValue $IeEscForAdministrators IsInstalled 0
    }
} -Apply {
    Add-ClosingTask $IeEscForAdministrators IsInstalled
    Set-RegistryValue $IeEscForAdministrators IsInstalled 0 DWord
}
