# ---- prelude: access -------------------------------------------------------------------------------
# Set and check access lists: who may read and change a folder.

# ---- accounts, as security identifiers (SIDs)

# The server is a scheduled task of LOCAL SERVICE. Other services use that account too, but the task's process also has
# a SID that no other process has, and only this SID gets access. It consists of S-1-5-87 and the SHA-1 of the task's
# name in upper case; `schtasks /showsid /tn nbserver` shows it.
$ServiceSid = 'S-1-5-87-930827800-2675213412-4068685239-1410473313-2291456054'
$LocalService = 'S-1-5-19'
$Trusted = 'S-1-5-18', 'S-1-5-32-544'   # SYSTEM and administrators: undo may act on what they wrote
# The service TrustedInstaller, which owns the files of Windows.
$TrustedInstaller = 'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464'
$OwnerRights = 'S-1-3-4'                # stands for the owner of the folder, whoever that is

# ---- access lists in SDDL

# SY is SYSTEM, BA administrators; FA full control, 0x1200a9 read and execute, 0x1301bf modify.

$AdministratorsOnly = 'D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'
$ServiceReads = $AdministratorsOnly + "(A;OICI;0x1200a9;;;$ServiceSid)"
$ServiceWrites = $AdministratorsOnly + "(A;OICI;0x1301bf;;;$ServiceSid)"
$StateAccess = $AdministratorsOnly
$StateOwner = 'BA'

function Get-AccessSddl([string]$Path) {
    (Get-Acl -LiteralPath $Path).GetSecurityDescriptorSddlForm('Access')
}

# Compare the entries. The flags before them (P: nothing is inherited; Windows adds AI and AR) only have to contain P.
function Test-Access([string]$Path, [string]$Sddl) {
    $is = Get-AccessSddl $Path
    $is -cmatch '^D:[A-Z]*P' -and ($is -creplace '^D:[A-Z]*', '') -eq ($Sddl -creplace '^D:[A-Z]*', '')
}

function Set-Access([string]$Path, [string]$Sddl) {
    $lock = Lock-Folder $Path
    try {
        $acl = Get-Acl -LiteralPath $Path
        $acl.SetSecurityDescriptorSddlForm($Sddl, 'Access')
        Set-Acl -LiteralPath $Path -AclObject $acl
    }
    finally { $lock.Close() }
}

# Create a folder with its owner and access list in one call: between two calls, another account could open it.
# Windows PowerShell and PowerShell 7 have different methods for this.
function New-ClosedFolder([string]$Path, [string]$Sddl) {
    Assert-NoLink $Path
    $security = New-Object Security.AccessControl.DirectorySecurity
    $security.SetSecurityDescriptorSddlForm("O:$StateOwner$Sddl")
    if ($PSVersionTable.PSVersion.Major -lt 6) { [void][IO.Directory]::CreateDirectory($Path, $security) }
    else { [IO.FileSystemAclExtensions]::Create((New-Object IO.DirectoryInfo $Path), $security) }
}

# ---- who else has access

# Rights as bits of an access mask. .NET has no name for the generic right; source: "ACCESS_MASK" on
# learn.microsoft.com.
$AnyRight = -bnot 0
$GenericAll = 0x10000000
$DeleteRight = [int][Security.AccessControl.FileSystemRights]::Delete
$DeleteContentRight = [int][Security.AccessControl.FileSystemRights]::DeleteSubdirectoriesAndFiles
$OwnershipRights = [int][Security.AccessControl.FileSystemRights]'ChangePermissions, TakeOwnership'

# Return a failure if an account that is not in $Allowed owns the path or has one of the rights, else nothing. With
# -SkipInheritOnly, entries that apply only to what is created in the folder do not count.
function Get-AccessFault {
    param([string]$Path, [string[]]$Allowed, [int]$Rights, [switch]$SkipInheritOnly)
    if (Test-Link $Path) { return New-Failure access-link '{path} is a link' @{ path = $Path } }
    $acl = Get-Acl -LiteralPath $Path
    $owner = $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value
    if ($Allowed -notcontains $owner) {
        return New-Failure access-owner '{path} belongs to {owner}' @{ path = $Path; owner = $owner }
    }
    foreach ($entry in $acl.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
        $account = $entry.IdentityReference.Value
        if ([string]$entry.AccessControlType -ne 'Allow' -or $Allowed -contains $account) { continue }
        if (-not ([int]$entry.FileSystemRights -band $Rights)) { continue }
        $inheritOnly = [int]$entry.PropagationFlags -band [int][Security.AccessControl.PropagationFlags]::InheritOnly
        if ($SkipInheritOnly -and $inheritOnly) { continue }
        return New-Failure access-granted '{account} has access to {path}' @{ account = $account; path = $Path }
    }
}

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
