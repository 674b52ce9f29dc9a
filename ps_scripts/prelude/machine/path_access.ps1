# ---- prelude: path_access --------------------------------------------------------------------------
# Find other accounts that could replace a folder, or change an installed program in it.

# Rights as bits of an access mask. .NET has no names for the generic rights; source: "ACCESS_MASK" on
# learn.microsoft.com.
$GenericWrite = 0x40000000
$GenericAll = 0x10000000
$DeleteRight = [int][Security.AccessControl.FileSystemRights]::Delete
$DeleteContentRight = [int][Security.AccessControl.FileSystemRights]::DeleteSubdirectoriesAndFiles
$OwnershipRights = [int][Security.AccessControl.FileSystemRights]'ChangePermissions, TakeOwnership'

# Return a failure if an account that is not in $Allowed could replace the folder with another folder: if it may delete
# or rename the folder or a folder above it, change its permissions, or take ownership. The right to add folders, which
# Windows gives everybody on a drive, is harmless. Folders that do not exist yet are skipped.
function Get-PathFault([string]$Path, [string[]]$Allowed) {
    $current = $Path
    while ($current) {
        $parent = Split-Path -Parent $current
        $rights = $GenericAll -bor $OwnershipRights
        if ($parent) { $rights = $rights -bor $DeleteRight }   # a drive cannot be deleted or renamed
        if ($current -ne $Path) { $rights = $rights -bor $DeleteContentRight }
        if (Test-Path -LiteralPath $current) {
            $fault = Get-AccessFault $current $Allowed $rights -SkipInheritOnly
            if ($fault) { return $fault }
        }
        $current = $parent
    }
}

# ---- who can change an installed program

# Rights by which an account can change a folder or what is in it.
$ChangingRights = [int][Security.AccessControl.FileSystemRights](
    'WriteData, AppendData, DeleteSubdirectoriesAndFiles, Delete, ChangePermissions, TakeOwnership'
) -bor $GenericWrite -bor $GenericAll
$CreatorOwner = 'S-1-3-0'   # whoever creates a file; only the accounts below can

# Return why other accounts than SYSTEM, administrators, TrustedInstaller, and $Also could change a program in this
# folder, or nothing. The folder, its content, the folder of its packages, and the folders above it are checked.
function Get-ProgramFault([string]$Folder, [string[]]$Also = @()) {
    $allowed = $Trusted + $TrustedInstaller + $CreatorOwner + $Also
    $inside = @($Folder) + @(Get-ChildItem -LiteralPath $Folder -Force | ForEach-Object { $_.FullName })
    $packages = Join-Path $Folder 'Lib\site-packages'
    if (Test-Path -LiteralPath $packages) { $inside += $packages }
    foreach ($path in $inside) {
        $fault = Get-AccessFault $path $allowed $ChangingRights
        if ($fault) { return $fault }
    }
    Get-PathFault $Folder $allowed
}
