# ---- prelude: data_folders -------------------------------------------------------------------------
# Give the service access to the notebook folder, and remove this access at undo.

# The accounts that already have access keep it. Undo removes such a folder only if it is empty; what the service
# created in it then belongs to administrators.

function Test-ServiceGrant([string]$Path) {
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    (Get-AccessSddl $Path) -cmatch "\(A;OICI(ID)?;0x1301bf;;;$ServiceSid\)"
}

# This is called in preflight, and immediately before each change to the folder.
function Assert-DataFolder([string]$Path) {
    Set-Found data-folder-safe 'only trusted accounts can replace {path}' @{ path = $Path }
    $folder = $Path.TrimEnd('\')
    $fault = Get-FolderNameFault $folder
    if (-not $fault -and -not [IO.Directory]::Exists([IO.Path]::GetPathRoot($folder))) {
        $fault = New-Failure folder-drive-missing 'this host has no drive {drive}' @{ drive = $folder.Substring(0, 2) }
    }
    if ($fault) {
        throw (New-Failure data-folder-refused ('{path} cannot be used for notebooks: {cause}. Set ' +
                'notebook.directory in the inventory to another folder') @{
                path = $Path
            } -Cause $fault)
    }
    Assert-NoLink $folder
    # $UserSid is the account of this run: preflight has verified that it is an administrator, so it gains nothing.
    $allowed = $Trusted + $TrustedInstaller + $ServiceSid + $OwnerRights + $UserSid
    if (Test-Path -LiteralPath $folder) {
        $acl = Use-AccessControl $folder -Sections 'Owner'
        $allowed += $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value
    }
    $fault = Get-PathFault $folder $allowed
    if ($fault) {
        throw (New-Failure data-folder-replaceable ('{path} cannot be used for notebooks, because other accounts ' +
                'could replace it: {cause}. Make sure that only administrators own this folder and can delete it ' +
                'or change its permissions, or set notebook.directory in the inventory to another folder') @{
                path = $Path
            } -Cause $fault)
    }
}

# Undo restores a folder that the settings may name, which may be an earlier notebook.directory, or a folder above the
# present one, whatever the record contains.
function Assert-RecordedFolder([string]$Path) {
    if ((Test-KnownPath $Path) -or (Test-NotebookPath $Path)) { return }
    $fault = Get-FolderNameFault $Path.TrimEnd('\')
    if ($fault) {
        throw (New-Failure record-folder-refused ('{record}, the list of what undo restores, contains a line for the ' +
                'notebook folder {path}, but this path cannot be a notebook folder: {cause}. Find out who added this ' +
                'line, remove it, then try again') @{
                path = $Path; record = $RecordFile
            } -Cause $fault)
    }
}

function Add-DataFolder([string]$Path) {
    Assert-DataFolder $Path
    if (-not (Test-Path -LiteralPath $Path)) { New-DataFolder $Path }
    if (Test-ServiceGrant $Path) { return }
    Save-Before 'grant' $Path $null
    Add-Grant $Path
}

# A new folder is for administrators and the service: what it would inherit from a drive's root lets everybody replace
# it.
function New-DataFolder([string]$Path) {
    foreach ($parent in @(Get-MissingParent $Path)) {
        Save-Before 'data_folder' $parent $null
        New-ClosedFolder $parent $AdministratorsOnly
    }
    Save-Before 'data_folder' $Path $null
    Save-Before 'grant' $Path $null
    New-ClosedFolder $Path $ServiceWrites
    $fault = Get-AccessFault $Path ($Trusted + $ServiceSid) $AnyRight
    if ($fault) {
        throw (New-Failure data-folder-race ('another account created {path} while nbserver was creating it: ' +
                '{cause}. Remove this folder, then run nbserver apply again') @{ path = $Path } -Cause $fault)
    }
}

function Add-Grant([string]$Path) {
    $lock = Lock-Folder $Path
    try {
        $acl = Use-AccessControl $Path
        $service = New-Object Security.Principal.SecurityIdentifier $ServiceSid
        $acl.AddAccessRule((New-Object Security.AccessControl.FileSystemAccessRule(
                    $service, 'Modify', 'ContainerInherit, ObjectInherit', 'None', 'Allow')))
        Use-AccessControl $Path -Change $acl
    }
    finally { $lock.Close() }
}

# The content of the folder comes before the folder itself: Windows then passes the new list of the folder on to files
# and folders that have other owners.
$Restore.grant = {
    param($Path)
    Assert-RecordedFolder $Path
    if (-not (Test-Path -LiteralPath $Path)) { return }
    $lock = Lock-Folder $Path                            # others may have got rights there: they only lose the service
    try {
        $left = @(Remove-GrantBelow $Path $lock.Name)
        Remove-Grant $Path
    }
    finally { $lock.Close() }
    if ($left.Count) {
        throw (New-Failure grant-not-removed ('could not remove the service''s access to {count} of the files and ' +
                'folders in {path}. First error: {cause}') @{ count = $left.Count; path = $Path } -Cause $left[0])
    }
}

# Remove the entries of the service from the access list. What the service created gets administrators as its owner,
# and the access list of the folder that contains it.
function Remove-Grant([string]$Path) {
    $acl = Use-AccessControl $Path -Sections 'Owner, Access'
    $before = $acl.GetSecurityDescriptorSddlForm('Owner, Access')
    if ($ServiceSid, $LocalService -contains $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value) {
        $acl.SetSecurityDescriptorSddlForm('O:BAD:AI', 'Owner, Access')
    }
    else { $acl.PurgeAccessRules((New-Object Security.Principal.SecurityIdentifier $ServiceSid)) }
    if ($acl.GetSecurityDescriptorSddlForm('Owner, Access') -ne $before) { Use-AccessControl $Path -Change $acl }
}

# Call Remove-Grant for everything in the folder, at any depth, but not for what links lead to. Return a failure for
# each file or folder that keeps an entry.
function Remove-GrantBelow([string]$Path, [string]$Except) {
    $watch = [Diagnostics.Stopwatch]::StartNew()
    $folders = New-Object Collections.Generic.Stack[string]
    $folders.Push($Path)
    while ($folders.Count) {
        $folder = $folders.Pop()
        try { $items = (New-Object IO.DirectoryInfo $folder).GetFileSystemInfos() }
        catch { New-GrantFailure $folder $_.Exception; continue }
        foreach ($item in $items) {
            if ($item.FullName -eq $Except) { continue }
            if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { continue }
            try { Remove-Grant $item.FullName } catch { New-GrantFailure $item.FullName $_.Exception }
            if ($item.Attributes -band [IO.FileAttributes]::Directory) { $folders.Push($item.FullName) }
        }
        if ($watch.ElapsedMilliseconds -lt 5000) { continue }
        Write-StepProgress removing-access 'Removing the service''s access to {path}' @{ path = $folder }
        $watch.Restart()
    }
}

function New-GrantFailure([string]$Path, [Exception]$Cause) {
    New-Failure grant-kept 'nbserver did not change the permissions of {path}: {cause}' @{ path = $Path } -Cause $Cause
}

$Restore.data_folder = {
    param($Path)
    Assert-RecordedFolder $Path
    if (-not (Test-Path -LiteralPath $Path)) { return }
    Assert-NoLink $Path
    Remove-DataFolder $Path
}
