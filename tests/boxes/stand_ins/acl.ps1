# Get-Acl and Set-Acl. Wine gives empty descriptors and forgets what is set; here each path's SDDL is kept in
# C:\nbserver-test\acl, one file a path. The objects are .NET's own. Nothing is enforced and nothing inherited: a path that
# was never set has the default below. A list that a folder is created with is kept too: the name of .NET's class for it leads to
# the class below.

function global:Get-StandInAclFile([string]$Path) {
    $sha = [Security.Cryptography.SHA256]::Create()
    $key = [BitConverter]::ToString($sha.ComputeHash([Text.Encoding]::Unicode.GetBytes($Path.ToUpperInvariant()))).Replace('-', '')
    Join-Path (Get-StandInFolder 'acl') "$($key.Substring(0, 16)).json"
}

# What was removed took its descriptor with it; a new file of that name starts anew.
function global:Clear-StandInAcl {
    foreach ($file in [IO.Directory]::GetFiles((Get-StandInFolder 'acl'), '*.json')) {
        $path = ([IO.File]::ReadAllText($file) | ConvertFrom-Json).path
        if (-not ([IO.Directory]::Exists($path) -or [IO.File]::Exists($path))) { [IO.File]::Delete($file) }
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
        $state = New-Object psobject -Property @{ path = $full; sddl = $AclObject.GetSecurityDescriptorSddlForm('All') }
        Write-StandInFile (Get-StandInAclFile $full) (ConvertTo-Json $state -Compress) (New-Object Text.UTF8Encoding $false)
    }
}

class StandInFileSystemAcl {
    static [void] Create([IO.DirectoryInfo]$Folder, [Security.AccessControl.DirectorySecurity]$Security) {
        $new = -not [IO.Directory]::Exists($Folder.FullName)
        [System.IO.FileSystemAclExtensions]::Create($Folder, $Security)
        if (-not $new) { return }   # as Windows does: it leaves one that is there alone
        $whole = New-Object System.Security.AccessControl.DirectorySecurity
        $whole.SetSecurityDescriptorSddlForm('O:BAG:SY')
        $sddl = $Security.GetSecurityDescriptorSddlForm('All')
        $whole.SetSecurityDescriptorSddlForm($sddl, $(if ($sddl -clike 'O:*') { 'Owner, Access' } else { 'Access' }))
        $state = New-Object psobject -Property @{ path = $Folder.FullName; sddl = $whole.GetSecurityDescriptorSddlForm('All') }
        Write-StandInFile (Get-StandInAclFile $Folder.FullName) (ConvertTo-Json $state -Compress) (New-Object Text.UTF8Encoding $false)
    }
}
$accelerators = [psobject].Assembly.GetType('System.Management.Automation.TypeAccelerators')
[void]$accelerators::Remove('IO.FileSystemAclExtensions')
$accelerators::Add('IO.FileSystemAclExtensions', [StandInFileSystemAcl])
