# GetAccessControl, SetAccessControl and Create of a file or folder, as Windows PowerShell has them; Get-Acl and Set-Acl. Wine gives
# empty descriptors and forgets what is set; here each path's SDDL is kept in C:\nbserver-test\acl, one file a path. The objects are
# .NET's own. Nothing is enforced and nothing inherited: a path that was never set has the default below.
# Set-Acl is that of Windows PowerShell: it writes owner and group too, whatever was changed, and fails where the list is protected,
# as it does for whoever lacks the privilege for it. Scripts use SetAccessControl; tests use Set-StandInAccess.

function global:Get-StandInAclFile([string]$Path) {
    $sha = [Security.Cryptography.SHA256]::Create()
    $key = [BitConverter]::ToString($sha.ComputeHash([Text.Encoding]::Unicode.GetBytes($Path.ToUpperInvariant()))).Replace('-', '')
    Join-Path (Get-StandInFolder 'acl') "$($key.Substring(0, 16)).json"
}

# What was removed took its descriptor with it; a new file of that name starts anew. This is done at each look, so a file is read
# once only: its name is a hash of the path in it.
$global:StandInPaths = @{}
function global:Clear-StandInAcl {
    foreach ($file in [IO.Directory]::GetFiles((Get-StandInFolder 'acl'), '*.json')) {
        $path = $StandInPaths[$file]
        if (-not $path) { $path = $StandInPaths[$file] = ([IO.File]::ReadAllText($file) | ConvertFrom-Json).path }
        if (-not [IO.Path]::Exists($path)) { [IO.File]::Delete($file) }
    }
}

function global:Get-StandInSddl([string]$Path, [bool]$IsFolder) {
    $file = Get-StandInAclFile $Path
    if ([IO.File]::Exists($file)) { return ([IO.File]::ReadAllText($file) | ConvertFrom-Json).sddl }
    if ($IsFolder) { 'O:BAG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)' }
    else { 'O:BAG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)' }
}

function global:Get-Acl {
    [CmdletBinding(DefaultParameterSetName = 'ByPath')]
    param(
        [Parameter(Position = 0, ParameterSetName = 'ByPath')] [string[]]$Path = '.',
        [Parameter(Mandatory = $true, ParameterSetName = 'ByLiteralPath')] [Alias('PSPath')] [string[]]$LiteralPath
    )
    Clear-StandInAcl
    foreach ($given in $(if ($PSCmdlet.ParameterSetName -eq 'ByLiteralPath') { $LiteralPath } else { $Path })) {
        $full = $PSCmdlet.SessionState.Path.GetUnresolvedProviderPathFromPSPath($given).TrimEnd('\')
        $isFolder = [IO.Directory]::Exists("$full\")
        if (-not $isFolder -and -not [IO.File]::Exists($full)) {
            $text = "Cannot find path '$full' because it does not exist."
            $PSCmdlet.WriteError((New-StandInError $text 'GetAcl_PathNotFound_Exception' 'ObjectNotFound' $given))
            continue
        }
        $acl = if ($isFolder) { New-Object System.Security.AccessControl.DirectorySecurity }
        else { New-Object System.Security.AccessControl.FileSecurity }
        $acl.SetSecurityDescriptorSddlForm((Get-StandInSddl $full $isFolder))
        Add-Member -InputObject $acl -NotePropertyName Path -NotePropertyValue "Microsoft.PowerShell.Core\FileSystem::$full"
        Add-Member -InputObject $acl -MemberType ScriptProperty -Name Sddl -Force -Value { $this.GetSecurityDescriptorSddlForm('All') }
        Add-Member -InputObject $acl -MemberType ScriptProperty -Name Access -Force -Value {
            $this.GetAccessRules($true, $true, [Security.Principal.NTAccount])
        }
        Add-Member -InputObject $acl -MemberType ScriptProperty -Name Owner -Force -Value {  # a name, as on Windows
            try { $this.GetOwner([Security.Principal.NTAccount]).Value }
            catch { 'O:' + $this.GetOwner([Security.Principal.SecurityIdentifier]).Value }
        }
        Add-Member -InputObject $acl -MemberType ScriptProperty -Name Group -Force -Value {
            try { $this.GetGroup([Security.Principal.NTAccount]).Value }
            catch { 'G:' + $this.GetGroup([Security.Principal.SecurityIdentifier]).Value }
        }
        $acl
    }
}

function global:Set-Acl {
    [CmdletBinding(SupportsShouldProcess = $true, DefaultParameterSetName = 'ByPath')]
    param(
        [Parameter(Mandatory = $true, Position = 0, ParameterSetName = 'ByPath')] [string[]]$Path,
        [Parameter(Mandatory = $true, ParameterSetName = 'ByLiteralPath')] [Alias('PSPath')] [string[]]$LiteralPath,
        [Parameter(Mandatory = $true, Position = 1)] [System.Security.AccessControl.FileSystemSecurity]$AclObject
    )
    Clear-StandInAcl
    foreach ($given in $(if ($PSCmdlet.ParameterSetName -eq 'ByLiteralPath') { $LiteralPath } else { $Path })) {
        $full = $PSCmdlet.SessionState.Path.GetUnresolvedProviderPathFromPSPath($given).TrimEnd('\')
        if (-not [IO.Directory]::Exists("$full\") -and -not [IO.File]::Exists($full)) {
            $text = "Cannot find path '$full' because it does not exist."
            $PSCmdlet.WriteError((New-StandInError $text 'SetAcl_PathNotFound_Exception' 'ObjectNotFound' $given))
            continue
        }
        if (-not $PSCmdlet.ShouldProcess($full)) { continue }
        if ((Get-StandInSddl $full ([IO.Directory]::Exists("$full\"))) -cmatch 'D:[A-Z]*P') {
            $text = 'Attempted to perform an unauthorized operation.'
            $PSCmdlet.WriteError((New-StandInError $text 'System.UnauthorizedAccessException' 'PermissionDenied' $given))
            continue
        }
        Set-StandInAccess $full $AclObject.GetSecurityDescriptorSddlForm('All')
    }
}

# What a test sets: the whole descriptor.
function global:Set-StandInAccess([string]$Path, [string]$Sddl) {
    $state = New-Object psobject -Property @{ path = $Path; sddl = $Sddl }
    Write-StandInFile (Get-StandInAclFile $Path) (ConvertTo-Json $state -Compress) (New-Object Text.UTF8Encoding $false)
}

# .NET keeps for itself which parts of a descriptor were changed since it was read.
$global:StandInParts = @{ Owner = '_ownerModified'; Group = '_groupModified'; Access = '_daclModified' }
function global:Get-StandInPart([string]$Part) {
    [Security.AccessControl.ObjectSecurity].GetField($StandInParts[$Part], [Reflection.BindingFlags]'NonPublic, Instance')
}

$methods = @{
    GetAccessControl = {
        param($Sections = 'Owner, Group, Access')
        Clear-StandInAcl
        if (-not $this.Exists) { throw (New-Object IO.FileNotFoundException "Could not find '$($this.FullName)'.") }
        $isFolder = $this -is [IO.DirectoryInfo]
        $acl = if ($isFolder) { New-Object Security.AccessControl.DirectorySecurity } else { New-Object Security.AccessControl.FileSecurity }
        $path = $this.FullName.TrimEnd('\')
        $acl.SetSecurityDescriptorSddlForm((Get-StandInSddl $path $isFolder), [Security.AccessControl.AccessControlSections]$Sections)
        foreach ($part in $StandInParts.Keys) { (Get-StandInPart $part).SetValue($acl, $false) }
        , $acl
    }
    SetAccessControl = {
        param($Security)
        $isFolder = $this -is [IO.DirectoryInfo]
        $path = $this.FullName.TrimEnd('\')
        $changed = @($StandInParts.Keys | Where-Object { (Get-StandInPart $_).GetValue($Security) })
        if (-not $changed.Count) { return }
        $sections = [Security.AccessControl.AccessControlSections]($changed -join ', ')
        $whole = if ($isFolder) { New-Object Security.AccessControl.DirectorySecurity } else { New-Object Security.AccessControl.FileSecurity }
        $whole.SetSecurityDescriptorSddlForm((Get-StandInSddl $path $isFolder))
        $whole.SetSecurityDescriptorSddlForm($Security.GetSecurityDescriptorSddlForm('All'), $sections)
        Set-StandInAccess $path $whole.GetSecurityDescriptorSddlForm('All')
    }
}
foreach ($type in 'System.IO.DirectoryInfo', 'System.IO.FileInfo') {
    foreach ($method in $methods.Keys) {
        Update-TypeData -Force -TypeName $type -MemberType ScriptMethod -MemberName $method -Value $methods[$method]
    }
}
Update-TypeData -Force -TypeName System.IO.DirectoryInfo -MemberType ScriptMethod -MemberName Create -Value {
    param($Security)
    if (-not $Security) { return $this.psbase.Create() }
    if ([IO.Directory]::Exists($this.FullName)) { return }   # as Windows does: it leaves one that is there alone
    [IO.FileSystemAclExtensions]::Create((New-Object IO.DirectoryInfo $this.FullName), $Security)
    $whole = New-Object Security.AccessControl.DirectorySecurity
    $account = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value   # as a policy can make it; else, it is administrators
    $whole.SetSecurityDescriptorSddlForm("O:${account}G:SY")
    $sddl = $Security.GetSecurityDescriptorSddlForm('All')
    $whole.SetSecurityDescriptorSddlForm($sddl, $(if ($sddl -clike 'O:*') { 'Owner, Access' } else { 'Access' }))
    Set-StandInAccess $this.FullName $whole.GetSecurityDescriptorSddlForm('All')
}
