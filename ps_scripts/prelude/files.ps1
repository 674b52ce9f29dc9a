# ---- prelude: folders, their access lists, and text files ----------------------------------------------

# The service is a task of LOCAL SERVICE. Its process carries, beside that account shared with other
# services, a SID of its own, made from the task's name: S-1-5-87- and SHA-1 of the name in capitals.
# `schtasks /showsid /tn nbserver` shows it. Files are granted to this SID, never to LOCAL SERVICE.
$ServiceSid = 'S-1-5-87-930827800-2675213412-4068685239-1410473313-2291456054'

# Access lists in SDDL: FA full control, 0x1200a9 read and execute, 0x1301bf modify; SY SYSTEM, BA administrators.
$AdministratorsOnly = 'D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'
$ServiceReads = $AdministratorsOnly + "(A;OICI;0x1200a9;;;$ServiceSid)"
$ServiceWrites = $AdministratorsOnly + "(A;OICI;0x1301bf;;;$ServiceSid)"
$StateAccess = $AdministratorsOnly
$StateOwner = 'BA'
$Trusted = 'S-1-5-18', 'S-1-5-32-544'                    # SYSTEM and administrators: undo may act on what they wrote

function Get-AccessSddl([string]$Path) {
    (Get-Acl -LiteralPath $Path).GetSecurityDescriptorSddlForm('Access')
}

# The entries count; what Windows adds to the flags before them (AI, AR) does not.
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

# A folder is made with its owner and access list at once: between two calls somebody else could open it. Windows
# PowerShell and PowerShell 7 have different methods for this.
function New-ClosedFolder([string]$Path, [string]$Sddl) {
    Assert-NoLink $Path
    $security = New-Object Security.AccessControl.DirectorySecurity
    $security.SetSecurityDescriptorSddlForm("O:$StateOwner$Sddl")
    if ($PSVersionTable.PSVersion.Major -lt 6) { [void][IO.Directory]::CreateDirectory($Path, $security) }
    else { [IO.FileSystemAclExtensions]::Create((New-Object IO.DirectoryInfo $Path), $security) }
}

# Kind folder: what this script installed; undo removes it with all that is in it.
function Add-Folder([string]$Path, [string]$Sddl) {
    if (-not (Test-Path -LiteralPath $Path)) {
        Save-Before 'folder' $Path $null
        if ($Sddl) { New-ClosedFolder $Path $Sddl }
        else { Assert-NoLink $Path; [void](New-Item -ItemType Directory -Path $Path) }
    }
    if ($Sddl -and -not (Test-Access $Path $Sddl)) {
        if (-not (Test-Record 'folder' $Path)) { Save-Before 'access' $Path (Get-AccessSddl $Path) }
        Set-Access $Path $Sddl
    }
}

function Compare-Folder([string]$Path, [string]$Sddl) {
    if (-not (Test-Path -LiteralPath $Path)) { Difference $Path 'not there' 'a folder' }
    elseif ($Sddl -and -not (Test-Access $Path $Sddl)) { Difference "access to $Path" (Get-AccessSddl $Path) $Sddl }
}

$Restore.access = {
    param($Path, $Before)
    if (Test-Path -LiteralPath $Path) { Set-Access $Path $Before }
}

# Windows says so by two codes, ERROR_DISK_FULL and ERROR_HANDLE_DISK_FULL, and in words of its own language.
function Test-DiskFull($Exception) {
    for ($one = $Exception; $one; $one = $one.InnerException) {
        if ('80070070', '80070027' -contains ('{0:x8}' -f [Runtime.InteropServices.Marshal]::GetHRForException($one))) { return $true }
    }
    $false
}

function Get-Remedy($Exception, [string]$Otherwise) {
    if (Test-DiskFull $Exception) { 'Make room on this disk, then run this again' } else { $Otherwise }
}

# ---- text files; with -Secret, @NAME@ in the text stands for the secret of that name

# With -Around all but the secret is compared, as in a test by hand, which does not know it.
function Test-TextFile([string]$Path, [string]$Text, [string]$Secret, [switch]$Around) {
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    $is = [IO.File]::ReadAllText($Path, $Utf8)
    if (-not $Secret -or ($Secrets.ContainsKey($Secret) -and -not $Around)) {
        return [string]::Equals($is, (Expand-Secret $Text $Secret))
    }
    $start, $end = $Text -csplit [regex]::Escape("@$Secret@"), 2
    $is.StartsWith($start, [StringComparison]::Ordinal) -and $is.EndsWith($end, [StringComparison]::Ordinal)
}

function Set-TextFile([string]$Path, [string]$Text, [string]$Secret) {
    Save-FileBefore $Path
    Write-TextFile $Path $Text $Secret
}

# What was there is kept as a copy beside the record: the record itself never holds a file's text.
function Save-FileBefore([string]$Path) {
    if (Test-Record 'file' $Path) { return }
    Assert-NoLink $Path
    $before = $null
    if (Test-Path -LiteralPath $Path) {
        $before = Join-Path $StateFolder ('before\' + [guid]::NewGuid().ToString())
        New-ClosedFolder (Split-Path $before) $StateAccess
        [IO.File]::Copy($Path, $before)
    }
    Save-Before 'file' $Path $before
}

$Restore.file = {
    param($Path, $Before)
    foreach ($one in "$Path.new", $Path) { Assert-NoLink $one }
    if ($Before) { Assert-KnownPath $Before; Assert-NoLink $Before }
    if (Test-Path -LiteralPath "$Path.new") { Remove-Item -LiteralPath "$Path.new" -Force }   # of a run that was cut off while it wrote
    if ($Before) { [IO.File]::Copy($Before, $Path, $true) }
    elseif (Test-Path -LiteralPath $Path) { Remove-Item -LiteralPath $Path -Force }
}

# Copies stay until no line of the record can ask for one: an undo that is cut off is done again.
function Remove-FileCopy {
    $copies = Join-Path $StateFolder 'before'
    if (-not @(Read-Record).Count -and (Test-Path -LiteralPath $copies)) { Remove-Folder $copies }
}

# ---- the folder that undo trusts: made for SYSTEM and administrators only (and, in user scope, for the user);
# ---- any other is refused

function Initialize-StateFolder {
    if (-not (Test-Path -LiteralPath $StateFolder)) {
        try { New-ClosedFolder $StateFolder $StateAccess }
        catch { throw "$StateFolder could not be made: $_. Whoever runs this must be able to write to $(Split-Path -Parent $StateFolder)" }
        if (@(Get-ChildItem -LiteralPath $StateFolder -Force).Count) { throw "$StateFolder was filled by somebody while it was made. Look at it, remove it, run this again" }
    }
    Assert-StateFolder
}

function Assert-StateFolder {
    Assert-NoLink $StateFolder
    $fault = Get-AccessFault $StateFolder $Trusted -1
    if ($fault) { throw "$StateFolder cannot be trusted with what undo would put back: $fault. An administrator must look at it and remove it" }
}
