# ---- prelude: access -------------------------------------------------------------------------------
# Set and check access lists: who may read and change a folder.

$AdministratorsOnly = 'D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'   # in SDDL: full control for SYSTEM, administrators
$UserSid = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value

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

$AnyRight = -bnot 0   # all bits of an access mask

# Return a failure if an account that is not in $Allowed owns the path or has one of the rights, else nothing. With
# -SkipInheritOnly, entries that apply only to what is created in the folder do not count.
function Get-AccessFault {
    param([string]$Path, [string[]]$Allowed, [int]$Rights, [switch]$SkipInheritOnly)
    if (Test-Link $Path) { return New-Failure access-link '{path} is a link' @{ path = $Path } }
    $acl = Get-Acl -LiteralPath $Path
    $owner = $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value
    if ($Allowed -notcontains $owner) {
        return New-Failure access-owner '{path} belongs to the account {owner}' @{ path = $Path; owner = $owner }
    }
    foreach ($entry in $acl.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
        $account = $entry.IdentityReference.Value
        if ([string]$entry.AccessControlType -ne 'Allow' -or $Allowed -contains $account) { continue }
        if (-not ([int]$entry.FileSystemRights -band $Rights)) { continue }
        $inheritOnly = [int]$entry.PropagationFlags -band [int][Security.AccessControl.PropagationFlags]::InheritOnly
        if ($SkipInheritOnly -and $inheritOnly) { continue }
        return New-Failure access-granted ('the account {account} ' +
            'has access to {path}') @{ account = $account; path = $Path }
    }
}
