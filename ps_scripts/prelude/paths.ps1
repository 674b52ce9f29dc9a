# ---- prelude: paths, and which of them this script may change ------------------------------------------
# The service, and people who share a folder with it, could put a link where this script works: a junction that
# leads to a folder of Windows. Nothing is created, granted, put back or removed through a link.

$UserPlace = ''   # in scope user, the user's own folder: it and those above it are where Windows has put them

# The path is of something in the folder, however deep. Windows' paths are compared without regard to case.
function Test-Below([string]$Path, [string]$Folder) {
    $Path.StartsWith("$Folder\", [StringComparison]::OrdinalIgnoreCase)
}

# A junction, a symbolic link, a mounted volume: whatever Windows calls a reparse point.
function Test-Link([string]$Path) {
    if (-not [IO.File]::Exists($Path) -and -not [IO.Directory]::Exists($Path)) { return $false }
    [bool]([IO.File]::GetAttributes($Path) -band [IO.FileAttributes]::ReparsePoint)
}

# The links on the way to a path from its drive, the path itself included.
function Get-Links([string]$Path) {
    for ($one = $Path; $one -ne $UserPlace -and ($above = Split-Path -Parent $one); $one = $above) { if (Test-Link $one) { $one } }
}

# Called right before each change.
function Assert-NoLink([string]$Path) {
    foreach ($link in @(Get-Links $Path)) {
        throw "$Path is left alone: $link is a link (a junction, a symbolic link or a mounted volume). " +
        'Look at where it leads and remove the link'
    }
}

# A file that is held open in a folder keeps Windows from renaming that folder and those above it, and from making
# one of them a link. It is closed with .Close(), and is gone then.
function Lock-Folder([string]$Path) {
    Assert-NoLink $Path
    $file = Join-Path $Path "nbserver-$([guid]::NewGuid()).lock"
    $lock = New-Object IO.FileStream $file, ([IO.FileMode]::CreateNew), ([IO.FileAccess]::Write),
    ([IO.FileShare]::None), 1, ([IO.FileOptions]::DeleteOnClose)
    try { Assert-NoLink $Path } catch { $lock.Close(); throw }
    $lock
}

# ---- undo acts on these only, whatever the record says

$PathKinds = 'folder', 'access', 'data_folder', 'grant', 'file', 'process', 'msi', 'bundle', 'inno'

function Assert-KnownPath([string]$Path) {
    if ($Path -eq [IO.Path]::GetFullPath($Path)) {
        foreach ($known in $Programs, $StateFolder) { if ($Path -eq $known -or (Test-Below $Path $known)) { return } }
        if ($Path.TrimEnd('\') -eq (Expand-Path $Settings.notebook.directory).TrimEnd('\')) { return }
    }
    throw "the record names $Path, which is neither in a folder of nbserver nor the notebook.directory of these " +
    'settings. If it is an earlier notebook.directory, write it into the inventory and run undo again'
}

# ---- who else has access

$TrustedInstaller = 'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464'

# Who else than $Allowed owns this or has one of these rights, in words; nothing where nobody has. -Here leaves
# out what only things made in it would get.
function Get-AccessFault([string]$Path, [string[]]$Allowed, [int]$Rights, [switch]$Here) {
    if (Test-Link $Path) { return "$Path is a link" }
    $acl = Get-Acl -LiteralPath $Path
    $owner = $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value
    if ($Allowed -notcontains $owner) { return "$Path belongs to $owner" }
    foreach ($rule in $acl.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
        $who = $rule.IdentityReference.Value
        if ([string]$rule.AccessControlType -ne 'Allow' -or $Allowed -contains $who) { continue }
        if (-not ([int]$rule.FileSystemRights -band $Rights)) { continue }
        if ($Here -and [int]$rule.PropagationFlags -band 2) { continue }   # InheritOnly
        return "$who has access to $Path"
    }
}

# Who else than $Allowed could put another folder in this one's place: who may delete or rename it or one above it,
# change their permissions, or take them over. That others may add folders to a drive, as Windows has it, does no harm.
# What is not there yet is left out. Rights: ChangePermissions, TakeOwnership, GENERIC_ALL; Delete; and of those above
# DeleteSubdirectoriesAndFiles.
function Get-PathFault([string]$Path, [string[]]$Allowed) {
    for ($one = $Path; $one; $one = $above) {
        $above = Split-Path -Parent $one
        if (-not (Test-Path -LiteralPath $one)) { continue }
        $rights = 0x100C0000
        if ($above) { $rights = $rights -bor 0x10000 }           # a drive itself is not renamed
        if ($one -ne $Path) { $rights = $rights -bor 0x40 }
        $fault = Get-AccessFault $one $Allowed $rights -Here
        if ($fault) { return $fault }
    }
}

# ---- a folder that the service may write in, chosen in the inventory (notebook.directory)

# Why the service must not get access to a folder of this name, in words; nothing where it may.
function Get-FolderNameFault([string]$Folder) {
    if ($Folder -match '~\d|[. ](\\|$)') { return 'a part of it is a short name, or ends with a period or a space' }
    if ($Folder -cmatch '\A[A-Za-z]:\z') { return 'it is a whole drive' }
    # C:\\Windows and C:/Windows are C:\Windows too; the names below are compared with a path as Windows writes it.
    if ($Folder -cnotmatch '\A[A-Za-z]:\\[^:]+\z' -or $Folder -ne [IO.Path]::GetFullPath($Folder)) {
        return 'it is not written as Windows writes it, with a drive and single backslashes'
    }
    $users = @("$env:SystemDrive\Users")
    if ($env:PUBLIC) { $users += Split-Path -Parent $env:PUBLIC }
    if ($users + $env:ProgramData -contains $Folder) { return 'it holds folders of others than nbserver' }
    if ($users -contains (Split-Path -Parent $Folder)) { return "it is a user's whole profile" }
    $drive = [IO.Path]::GetPathRoot($Folder)
    $hidden = 'System Volume Information', '$Recycle.Bin', 'Recovery', 'Boot', 'EFI' | ForEach-Object { "$drive$_" }
    foreach ($system in @($env:SystemRoot, $env:ProgramFiles, ${env:ProgramFiles(x86)}) + $hidden) {
        if (-not $system) { continue }
        if ($Folder -eq $system -or (Test-Below $Folder $system)) { return 'it belongs to Windows or to programs' }
    }
    $own = Join-Path $StateFolder 'notebooks'
    if ($Folder -eq $own -or (Test-Below $Folder $own)) { return }
    if ($Folder -eq $StateFolder -or (Test-Below $Folder $StateFolder)) { return "in $StateFolder only $own is for notebooks" }
}

# Right before each change of it, and in preflight. In scope user the service is the user, who gets nothing by it.
function Assert-DataFolder([string]$Path) {
    if ($Settings.scope -eq 'user') { return }
    $folder = $Path.TrimEnd('\')
    $fault = Get-FolderNameFault $folder
    if ($fault) { throw "$Path cannot be notebook.directory: $fault. Choose another folder in the inventory" }
    Assert-NoLink $folder
    # S-1-3-4 is the folder's own owner, whoever that is; and whoever runs this is an administrator.
    $allowed = $Trusted + $TrustedInstaller + $ServiceSid + 'S-1-3-4' + $UserSid
    if (Test-Path -LiteralPath $folder) {
        $allowed += (Get-Acl -LiteralPath $folder).GetOwner([Security.Principal.SecurityIdentifier]).Value
    }
    $fault = Get-PathFault $folder $allowed
    if (-not $fault) { return }
    throw "$Path cannot be notebook.directory, because others could put another folder in its place: $fault. " +
    'Let only administrators own and delete it and change its permissions, or choose another folder in the inventory'
}
