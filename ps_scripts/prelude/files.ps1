# ---- prelude: files --------------------------------------------------------------------------------
# Create folders and write text files, so that undo can restore what was there before.

# Create a folder that undo removes with everything in it, and set its access list.
function Add-Folder([string]$Path, [string]$Sddl) {
    if (-not (Test-Path -LiteralPath $Path)) {
        Save-Before 'folder' $Path $null
        if ($Sddl) { New-ClosedFolder $Path $Sddl }
        else {
            Assert-NoLink $Path
            [void](New-Item -ItemType Directory -Path $Path)
        }
    }
    if (-not $Sddl -or (Test-Access $Path $Sddl)) { return }
    if (-not (Test-Record 'folder' $Path)) { Save-Before 'access' $Path (Get-AccessSddl $Path) }
    Set-Access $Path $Sddl
}

function Compare-Folder([string]$Path, [string]$Sddl) {
    if (-not (Test-Path -LiteralPath $Path)) {
        Add-Difference folder-missing '{path}' $null 'a folder' @{ path = $Path }
    }
    elseif ($Sddl -and -not (Test-Access $Path $Sddl)) {
        Add-Difference folder-access 'access list of {path} (SDDL)' (Get-AccessSddl $Path) $Sddl @{ path = $Path }
    }
}

$Restore.access = {
    param($Path, $Before)
    if (Test-Path -LiteralPath $Path) { Set-Access $Path $Before }
}

# ---- text files. With $Secret, @NAME@ in the text stands for the secret of that name

# Return whether the file has this text. Without the secret, as in a test that is run by hand, and with -Around, only
# the text around the secret is compared.
function Test-TextFile {
    param([string]$Path, [string]$Text, [string]$Secret, [switch]$Around)
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    $is = [IO.File]::ReadAllText($Path, $Utf8)
    if (-not $Secret -or ($Secrets.ContainsKey($Secret) -and -not $Around)) {
        return [string]::Equals($is, (Expand-Secret $Text $Secret))
    }
    $start, $end = $Text -csplit [regex]::Escape("@$Secret@"), 2
    $is.StartsWith($start, [StringComparison]::Ordinal) -and $is.EndsWith($end, [StringComparison]::Ordinal)
}

# A file that is as it should be is not written again: its new time would restart the server.
function Set-TextFile {
    param([string]$Path, [string]$Text, [string]$Secret)
    Save-FileBefore $Path
    $known = -not $Secret -or $Secrets.ContainsKey($Secret)
    if ($known -and (Test-TextFile $Path $Text $Secret)) { return }
    Write-TextFile $Path $Text $Secret
}

# Keep a copy of the file for undo. The record has only the path of the copy, never the text of a file.
function Save-FileBefore([string]$Path) {
    if (Test-Record 'file' $Path) { return }
    Assert-NoLink $Path
    $before = $null
    if (Test-Path -LiteralPath $Path) {
        $before = Join-Path $StateFolder ('before\' + [guid]::NewGuid().ToString())
        New-ClosedFolder (Split-Path $before) $StateAccess
        Copy-File $Path $before
    }
    Save-Before 'file' $Path $before
}

$Restore.file = {
    param($Path, $Before)
    Assert-NoLink "$Path.new"
    Assert-NoLink $Path
    if ($Before) {
        Assert-KnownPath $Before
        Assert-NoLink $Before
    }
    # A run that was killed while it wrote the file leaves its new file.
    Remove-SingleFile "$Path.new"
    if (-not $Before) { Remove-SingleFile $Path; return }
    Copy-Over $Before $Path
}

# The copy keeps the time of the file, which says whether the server was started after it.
function Copy-Over([string]$From, [string]$Path) {
    Assert-NoLink "$Path.new"
    Assert-NoLink $Path
    Remove-SingleFile "$Path.new"                        # of a run that was killed
    [IO.File]::Copy($From, "$Path.new")
    Move-Over "$Path.new" $Path
}

# Remove the copies when the record has no lines left: an undo that was interrupted still needs them.
function Remove-FileCopy {
    $copies = Join-Path $StateFolder 'before'
    if (-not @(Read-Record).Count -and (Test-Path -LiteralPath $copies)) { Remove-Folder $copies }
}
