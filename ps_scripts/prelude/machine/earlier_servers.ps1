# ---- prelude: earlier_servers ----------------------------------------------------------------------
# Find what earlier notebook servers left in PATH, in the firewall, and in user profiles.

# The folders that the tutorial of 2013 added to PATH.
$TutorialFolder = New-Object Text.RegularExpressions.Regex (
    '^[A-Z]:\\(Python\d\d(\\Scripts)?|OpenSSL-Win(32|64)\\bin)$', 'IgnoreCase, CultureInvariant')

# Return the entries of PATH that are before those of nbserver, and hide its python.exe or openssl.exe: the folders of
# the tutorial, and of an earlier nbserver.
function Get-HidingPathEntry {
    if ($Settings.skip -contains 'path') { return }
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { return }
    $recorded = Read-Record | Where-Object { $_.kind -eq 'path_entry' } | ForEach-Object { $_.key }
    $ours = @(@(Get-WantedPathEntry) + @($recorded) | Where-Object { $_ } | ForEach-Object { $_.TrimEnd('\') })
    $found = @()
    foreach ($entry in ([string]$path.value).Split([char[]]';')) {
        $folder = (Expand-Path $entry).Trim().Trim('"').TrimEnd('\')
        if ($ours -contains $folder) { break }
        if ($found -contains $entry) { continue }
        if ((Test-Below $folder $Programs) -or $TutorialFolder.IsMatch($folder)) {
            $found += $entry
            $entry
        }
    }
}

# Return the other rules of the firewall that open the notebook port.
function Get-OpenPortRule {
    if ($Settings.skip -notcontains 'firewall') { Get-OtherPortRule $Settings.notebook.port }
}

# Return the profiles of earlier notebook servers, of all users and of the accounts of Windows.
function Get-EarlierProfile {
    $list = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList'
    if (-not (Test-Path -LiteralPath $list)) { return }
    foreach ($key in Get-ChildItem -LiteralPath $list) {
        $user = Get-RegistryValue "$list\$($key.PSChildName)" ProfileImagePath
        if (-not $user) { continue }
        foreach ($name in '.ipython', '_ipython') {
            # Join-Path would fail if the profile is on a drive that does not exist any more.
            $folder = "$((Expand-Path $user.value).TrimEnd('\'))\$name\profile_nbserver"
            if ([IO.Directory]::Exists($folder)) { $folder }
        }
    }
}
