# ---- prelude: bundles ------------------------------------------------------------------------------
# Install and remove bundles: setups of WiX, such as that of Python.

# Python's setup registers itself for the account that runs it (HKCU), although it installs for the whole machine.
# Sources: issue 218 of python/release-tools, and issue 148148 of python/cpython.
$OwnUninstallKey = 'HKCU:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall'
$UninstallKeys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall',
'HKLM:\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall', $OwnUninstallKey

# $Before is the version that the bundle replaces, if any.
function Install-Bundle {
    param([string]$File, [string[]]$Arguments, $Before)
    Save-Before 'bundle' $File $Before
    Invoke-Installer $File $Arguments
}

# Return whether a bundle with this name for other bundles (its provider key) is registered for this account.
function Test-OwnBundle([string]$Provider) {
    if (-not (Test-Path -LiteralPath $OwnUninstallKey)) { return $false }
    foreach ($key in @(Get-ChildItem -LiteralPath $OwnUninstallKey)) {
        $found = Get-RegistryValue "$OwnUninstallKey\$($key.PSChildName)" BundleProviderKey
        if ($found -and $found.value -eq $Provider) { return $true }
    }
    $false
}

# Return the copy of itself that an installed bundle keeps, for its removal; or nothing. That of an account is in a
# folder of the account, which must be the one of this run: preflight has verified that it is an administrator.
function Get-BundleCopy([string]$Name) {
    foreach ($root in $UninstallKeys) {
        if (-not (Test-Path -LiteralPath $root)) { continue }
        foreach ($key in @(Get-ChildItem -LiteralPath $root)) {
            $copy = Get-RegistryValue "$root\$($key.PSChildName)" BundleCachePath
            if (-not $copy -or (Split-Path -Leaf $copy.value) -ne $Name) { continue }
            if (-not (Test-Path -LiteralPath $copy.value)) { continue }
            $folder = Split-Path -Parent $copy.value
            if ($root -eq $OwnUninstallKey -and (Get-ProgramFault $folder $UserSid)) { continue }
            return [string]$copy.value
        }
    }
}

# Return the program that removes a bundle: its file in the cache or, if that was deleted, its own copy. Return nothing
# if there is nothing to remove, or if the copy may be a newer one that another program installed: under a file name
# without a version, such as VC_redist.x64.exe, Windows keeps the newest.
function Get-BundleRemoval([string]$File) {
    if (Test-Path -LiteralPath $File) { return $File }
    $name = (Split-Path -Leaf $File) -creplace '\A[0-9a-f]{16}-', ''   # the cache adds the beginning of its hash
    $copy = Get-BundleCopy $name
    if (-not $copy) {
        Write-Notice log already-removed ('nothing was uninstalled, because the installer {path} no longer exists ' +
            'and the program that it installed was already removed') @{
            path = $File
        }
        return
    }
    if ($name -match '\d+\.\d+\.\d+') { return $copy }
    Write-Notice warning newer-bundle-kept ('undo did not uninstall the program that {path} installed, because ' +
        'another installer may have replaced it with a newer version ({copy}) that other programs need. If no ' +
        'program needs it, uninstall it in Settings > Apps') @{
        path = $File; copy = $copy
    }
}

# Exit code 1605 means that the bundle is not installed.
$Restore.bundle = {
    param($File, $Before)
    Assert-NoLink $File
    $name = Split-Path -Leaf $File
    if ($Before) {
        Write-Notice warning replaced-version-kept ('{program} replaced version {version}, which undo cannot ' +
            'restore, so the newer version is kept') @{ program = $name; version = $Before }
        return
    }
    $program = Get-BundleRemoval $File
    if (-not $program) { return }
    Write-StepProgress removing-program 'Removing {program}' @{ program = $name }
    Invoke-Setup $program @('/uninstall', '/quiet', '/norestart') $name -Accept 1605
}
