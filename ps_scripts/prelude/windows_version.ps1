# ---- prelude: windows_version ----------------------------------------------------------------------
# Recognize the Windows version, and compare it with the inventory.

# What the inventory calls a release, and its lowest version. Sources: "Operating System Version" and "Windows Server
# release information" on learn.microsoft.com.
$WindowsVersions = @{
    '2012' = '6.2'; '2012r2' = '6.3'; '2016' = '10.0.14393'; '2019' = '10.0.17763'; '2022' = '10.0.20348'
    '2025' = '10.0.26100'; '10' = '10.0'; '11' = '10.0.22000'
}
$WindowsKey = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'

# Return the version of this Windows. Windows reports an older one to a program whose manifest does not name a newer
# release, so the registry takes precedence if its version is higher. Windows 8.1 and older have "6.3" in one value.
function Get-WindowsVersion([version]$Reported) {
    $values = @{}
    $names = 'CurrentMajorVersionNumber', 'CurrentMinorVersionNumber', 'CurrentVersion', 'CurrentBuildNumber'
    foreach ($name in $names) {
        $found = Get-RegistryValue $WindowsKey $name
        if ($found) { $values[$name] = [string]$found.value }
    }
    $release = $values['CurrentVersion']
    if ($values['CurrentMajorVersionNumber']) {
        $release = "$($values['CurrentMajorVersionNumber']).$($values['CurrentMinorVersionNumber'])"
    }
    $registry = "$release.$($values['CurrentBuildNumber'])" -as [version]
    if ($registry -and $registry -gt $Reported) { $registry } else { $Reported }
}

# Return "Client", "Server", or "Server Core"; or nothing if this Windows does not have the value.
function Get-InstallationType {
    $type = Get-RegistryValue $WindowsKey 'InstallationType'
    if ($type) { [string]$type.value }
}

# Return what the inventory calls this release, or nothing if it is older than all of them.
function Get-WindowsName([version]$Is, [string]$Type) {
    $names = '2025', '2022', '2019', '2016', '2012r2', '2012'
    if ($Type -eq 'Client') { $names = '11', '10' }
    foreach ($name in $names) { if ($Is -ge [version]$WindowsVersions[$name]) { return $name } }
}

# Return a failure if this Windows is older than the inventory says. $Should is the setting windows, or empty.
function Get-WindowsFault {
    param([version]$Is, [string]$Type, [string]$Should)
    $lowest = '10.0'
    if ($Should) { $lowest = $WindowsVersions[$Should] }
    if ($Is -ge [version]$lowest) { return }
    $name = Get-WindowsName $Is $Type
    if (-not $name) {
        return New-Failure windows-too-old ('this host runs Windows version {is}, which is too old. Use Windows 10, ' +
            'Windows Server 2012, or newer') @{ is = [string]$Is }
    }
    if ($Should) { return New-OlderWindowsFailure $Is $name $Should }
    if ($name -eq '2012') {
        return New-Failure windows-2012-not-set ('this host runs Windows version {is}, but windows is not set in the ' +
            'inventory, so Windows 10, Windows Server 2016, or newer is required. Set windows = "2012" and ' +
            'accept_end_of_life = true in the inventory') @{ is = [string]$Is }
    }
    New-Failure windows-not-set ('this host runs Windows version {is}, but windows is not set in the inventory, so ' +
        'Windows 10, Windows Server 2016, or newer is required. Set windows = "{name}" in the inventory') @{
        is = [string]$Is; name = $name
    }
}

function New-OlderWindowsFailure {
    param([version]$Is, [string]$Name, [string]$Should)
    $values = @{ is = [string]$Is; name = $Name; should = $Should; lowest = $WindowsVersions[$Should] }
    if ($Name -eq '2012') {
        return New-Failure windows-older-2012 ('this host runs Windows version {is}, but windows = "{should}" in the ' +
            'inventory requires version {lowest} or newer. Set windows = "{name}" and accept_end_of_life = true in ' +
            'the inventory') $values
    }
    New-Failure windows-older ('this host runs Windows version {is}, but windows = "{should}" in the inventory ' +
        'requires version {lowest} or newer. Set windows = "{name}" in the inventory') $values
}
