# ---- prelude: folders that hold people's files ---------------------------------------------------------
# The service is let in beside those who have access already. Undo removes the folder only when it is empty; what
# stays belongs to those who had it before, and what the service made in it to administrators.

$LocalService = 'S-1-5-19'   # the account of the service, which other services of Windows have too

function Test-ServiceGrant([string]$Path) {
    # The server of scope user is the user, who chose the folder.
    if ($Settings.scope -eq 'user') { return Test-Path -LiteralPath $Path }
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    (Get-AccessSddl $Path) -cmatch "\(A;OICI(ID)?;0x1301bf;;;$ServiceSid\)"
}

# One that is made here is for administrators and the service: what a drive's root would give to everybody includes the
# right to replace it.
function Add-DataFolder([string]$Path) {
    Assert-DataFolder $Path
    if (-not (Test-Path -LiteralPath $Path)) {
        Save-Before 'data_folder' $Path $null
        if ($Settings.scope -eq 'user') { [void](New-Item -ItemType Directory -Path $Path); return }
        Save-Before 'grant' $Path $null
        $above = Split-Path -Parent $Path
        if (-not (Test-Path -LiteralPath $above)) { New-ClosedFolder $above $AdministratorsOnly }
        New-ClosedFolder $Path $ServiceWrites
        $fault = Get-AccessFault $Path ($Trusted + $ServiceSid) -1
        if ($fault) { throw "$Path was made by somebody else at the same moment: $fault. Remove it and run this again" }
    }
    if (Test-ServiceGrant $Path) { return }
    Save-Before 'grant' $Path $null
    $lock = Lock-Folder $Path
    try {
        $acl = Get-Acl -LiteralPath $Path
        $service = New-Object Security.Principal.SecurityIdentifier $ServiceSid
        $acl.AddAccessRule((New-Object Security.AccessControl.FileSystemAccessRule(
                    $service, 'Modify', 'ContainerInherit, ObjectInherit', 'None', 'Allow')))
        Set-Acl -LiteralPath $Path -AclObject $acl
    }
    finally { $lock.Close() }
}

# What is in a folder comes first: Windows then hands down the folder's own list to things that have other owners.
$Restore.grant = {
    param($Path)
    if (-not (Test-Path -LiteralPath $Path)) { return }
    Assert-DataFolder $Path
    $lock = Lock-Folder $Path
    try {
        $left = @(Remove-GrantsBelow $Path $lock.Name)
        Remove-Grant $Path
    }
    finally { $lock.Close() }
    if ($left.Count) { throw "the service keeps its access to $($left.Count) files or folders in it, first $($left[0])" }
}

# Takes the service's own entries from the access list. What the service made belongs to administrators then, and has
# the access list of the folder that it is in.
function Remove-Grant([string]$Path) {
    $acl = Get-Acl -LiteralPath $Path
    $before = $acl.GetSecurityDescriptorSddlForm('Owner, Access')
    if ($ServiceSid, $LocalService -contains $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value) {
        $acl.SetSecurityDescriptorSddlForm('O:BAD:AI', 'Owner, Access')
    }
    else { $acl.PurgeAccessRules((New-Object Security.Principal.SecurityIdentifier $ServiceSid)) }
    if ($acl.GetSecurityDescriptorSddlForm('Owner, Access') -ne $before) { Set-Acl -LiteralPath $Path -AclObject $acl }
}

# For all that is in the folder, however deep, but not what links lead to. Puts out what it could not do, in words.
function Remove-GrantsBelow([string]$Path, [string]$Except) {
    $folders = New-Object Collections.Generic.Stack[string]
    $folders.Push($Path)
    while ($folders.Count) {
        $folder = $folders.Pop()
        try { $items = (New-Object IO.DirectoryInfo $folder).GetFileSystemInfos() } catch { "${folder}: $_"; continue }
        foreach ($item in $items) {
            if ($item.FullName -eq $Except) { continue }
            if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { continue }
            try { Remove-Grant $item.FullName } catch { "$($item.FullName): $_" }
            if ($item.Attributes -band [IO.FileAttributes]::Directory) { $folders.Push($item.FullName) }
        }
    }
}

$Restore.data_folder = {
    param($Path)
    if (-not (Test-Path -LiteralPath $Path)) { return }
    if ($Settings.scope -ne 'user') { Assert-NoLink $Path }
    if (-not @(Get-ChildItem -LiteralPath $Path -Force).Count) { [IO.Directory]::Delete($Path, $false); return }
    Write-Event warning @{ text = "$Path holds files and stays" }
}
