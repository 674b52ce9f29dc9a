# ---- prelude: access -------------------------------------------------------------------------------
# Set and check access lists: who may read and change a folder.

$AdministratorsOnly = 'D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'   # in SDDL: full control for SYSTEM, administrators
$UserSid = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value

# Read the access list of a file or folder (without $Change), set it to $Change, or create the folder with $New. Get-Acl
# and Set-Acl are not used: Set-Acl also writes owner and group, which Windows allows only to administrators. Windows
# PowerShell has methods of the file for this, PowerShell 7 has another class.
function Use-AccessControl {
    param([string]$Path, $Change, [string]$Sections = 'Access', $New)
    $item = New-Object IO.DirectoryInfo $Path
    if (-not $New -and -not $item.Exists) { $item = New-Object IO.FileInfo $Path }
    $hasMethods = [bool]$item.PSObject.Methods['GetAccessControl']
    if ($New -and $hasMethods) { $item.Create($New) }
    elseif ($New) { [IO.FileSystemAclExtensions]::Create($item, $New) }
    elseif ($Change -and $hasMethods) { $item.SetAccessControl($Change) }
    elseif ($Change) { [IO.FileSystemAclExtensions]::SetAccessControl($item, $Change) }
    elseif ($hasMethods) { $item.GetAccessControl($Sections) }
    else { [IO.FileSystemAclExtensions]::GetAccessControl($item, $Sections) }
}

function Get-AccessSddl([string]$Path) {
    (Use-AccessControl $Path).GetSecurityDescriptorSddlForm('Access')
}

# Compare the entries. The flags before them (P: nothing is inherited; Windows adds AI and AR) only have to contain P.
function Test-Access([string]$Path, [string]$Sddl) {
    $is = Get-AccessSddl $Path
    $is -cmatch '^D:[A-Z]*P' -and ($is -creplace '^D:[A-Z]*', '') -eq ($Sddl -creplace '^D:[A-Z]*', '')
}

function Set-Access([string]$Path, [string]$Sddl) {
    $lock = Lock-Folder $Path
    try {
        $acl = Use-AccessControl $Path
        $acl.SetSecurityDescriptorSddlForm($Sddl, 'Access')
        Use-AccessControl $Path -Change $acl
    }
    finally { $lock.Close() }
}

# Create a folder with its owner and access list in one call: between two calls, another account could open it.
function New-ClosedFolder([string]$Path, [string]$Sddl) {
    Assert-NoLink $Path
    $security = New-Object Security.AccessControl.DirectorySecurity
    $security.SetSecurityDescriptorSddlForm("O:$StateOwner$Sddl")
    Use-AccessControl $Path -New $security
}

# ---- who else has access

$AnyRight = -bnot 0   # all 32 bits of an access mask are set

# Return a failure if an account that is not in $Allowed owns the path or has one of the rights, else nothing. With
# -SkipInheritOnly, entries that apply only to what is created in the folder do not count.
function Get-AccessFault {
    param([string]$Path, [string[]]$Allowed, [int]$Rights, [switch]$SkipInheritOnly)
    if (Test-Link $Path) { return New-Failure access-link '{path} is a link' @{ path = $Path } }
    $acl = Use-AccessControl $Path -Sections 'Owner, Access'
    $owner = $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value
    if ($Allowed -notcontains $owner) {
        return New-Failure access-owner '{path} is owned by {owner}' @{ path = $Path; owner = $owner }
    }
    foreach ($entry in $acl.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
        $account = $entry.IdentityReference.Value
        if ([string]$entry.AccessControlType -ne 'Allow' -or $Allowed -contains $account) { continue }
        if (-not ([int]$entry.FileSystemRights -band $Rights)) { continue }
        $inheritOnly = [int]$entry.PropagationFlags -band [int][Security.AccessControl.PropagationFlags]::InheritOnly
        if ($SkipInheritOnly -and $inheritOnly) { continue }
        $values = @{ account = $account; path = $Path }
        if ($Rights -eq $AnyRight) { return New-Failure access-granted '{account} has access to {path}' $values }
        return New-Failure access-to-change '{account} can modify {path} or its permissions' $values
    }
}
