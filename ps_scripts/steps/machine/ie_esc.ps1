# ---- step: ie_esc ----------------------------------------------------------------------------------
# Turn off IE Enhanced Security Configuration for administrators while other steps run.

# The value is the one that the switch in Server Manager sets. Only an existing value is changed: Server Core, Windows
# 10, and Windows 11 do not have it. A startup task restores it if this run is cut off.
# Source: DSC_IEEnhancedSecurityConfiguration in ComputerManagementDsc.

$IeEscForAdministrators = 'HKLM:\SOFTWARE\Microsoft\Active Setup\Installed Components\' +
'{A509B1A7-37EF-4b3f-8CFC-4F3A74704073}'

$RegistryValues += "$IeEscForAdministrators|IsInstalled"

Add-Step ie_esc 'IE Enhanced Security Configuration is off for administrators while other steps run' -Bracket -Test {
    if (Get-RegistryValue $IeEscForAdministrators IsInstalled) {
        Compare-RegistryValue $IeEscForAdministrators IsInstalled 0
    }
} -Apply {
    Add-ClosingTask $IeEscForAdministrators IsInstalled
    Set-RegistryValue $IeEscForAdministrators IsInstalled 0 DWord
}
