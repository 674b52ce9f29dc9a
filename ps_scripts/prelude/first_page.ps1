# ---- prelude: first_page ---------------------------------------------------------------------------
# Put a first notebook into the notebook folder; if users change it, it is kept.

# Kind first_page: the record has the states of this file that are not somebody's work: absent, and the SHA-256 of each
# text that this script wrote. In any other state the file stays as it is, even at undo. Once the file is written,
# absent is no longer in the record: a file that somebody deletes is not created again.

$FirstPageName = 'Welcome.ipynb'
$LongestFirstPage = 1048576                              # bytes
$FirstPageNotes = @{ Refused = $false }                  # this run could not write it, and does not try again

function Get-FirstPagePath { Join-Path (Expand-Path $Settings.notebook.directory) $FirstPageName }

function Get-FirstPage { $FirstPage -replace "`r|\A\s+", '' }

# Return "absent", the SHA-256 of the file, or "other" for what this script did not write: a folder, a link, a file that
# cannot be read, or one that is too long, which is not read.
function Get-FirstPageState([string]$Path) {
    if ((Test-Link $Path) -or [IO.Directory]::Exists($Path)) { return 'other' }
    if (-not [IO.File]::Exists($Path)) { return 'absent' }
    try { $stream = [IO.File]::Open($Path, 'Open', 'Read', 'ReadWrite, Delete') }
    catch { return 'other' }
    try {
        if ($stream.Length -gt $LongestFirstPage) { return 'other' }
        Get-StartSha256 $stream $LongestFirstPage
    }
    finally { $stream.Close() }
}

function Get-FirstPageRecord([string]$Path) {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -eq 'first_page' -and $line.key -eq $Path) { return $line.before -split ' ' }
    }
    'absent'
}

# Return the state of the file if it has another text than this script, and nobody has changed it; or nothing.
function Get-DueFirstPage([string]$Path) {
    if (-not (Get-FirstPage) -or $FirstPageNotes.Refused) { return }
    $state = Get-FirstPageState $Path
    if ($state -ceq 'other' -or $state -ceq (Get-Sha256 $Utf8.GetBytes((Get-FirstPage)))) { return }
    if (@(Get-FirstPageRecord $Path) -ccontains $state) { $state }
}

function Compare-FirstPage {
    $path = Get-FirstPagePath
    if (Get-DueFirstPage $path) {
        Add-Difference first-page '{path}' 'missing or outdated' 'as in this script' @{ path = $path }
    }
}

# The server can do without this file, so a failure is a warning: notebooks can make their folder unusable.
function Add-FirstPage {
    $path = Get-FirstPagePath
    $state = Get-DueFirstPage $path
    if (-not $state) { return }
    $bytes = $Utf8.GetBytes((Get-FirstPage))
    $hash = Get-Sha256 $bytes
    Save-Before 'first_page' $path "$state $hash" -Replace
    try { Write-FirstPage $path $bytes }
    catch {
        $FirstPageNotes.Refused = $true
        $failure = ConvertTo-Failure $_.Exception
        Write-Notice warning first-page-not-written ('could not write {path}: {error}. The server works without this ' +
            'file. To create the file, fix this error, then run nbserver apply again') @{
            path = $path; error = $failure.Message
        }
        return
    }
    Save-Before 'first_page' $path $hash -Replace
}

# The service may write in this folder, so the folder is locked, and the new file must not exist before.
function Write-FirstPage([string]$Path, [byte[]]$Bytes) {
    $lock = Lock-Folder (Split-Path -Parent $Path)
    try {
        Remove-SingleFile "$Path.new"
        $file = New-Object IO.FileStream "$Path.new", ([IO.FileMode]::CreateNew), ([IO.FileAccess]::Write)
        try { $file.Write($Bytes, 0, $Bytes.Length) } finally { $file.Close() }
        Assert-NoLink $Path
        if ([IO.File]::Exists($Path)) { Clear-ReadOnly $Path }
        Move-Over "$Path.new" $Path
    }
    finally { $lock.Close() }
}

$Restore.first_page = {
    param($Path, $Before)
    $folder = Split-Path -Parent $Path
    Assert-RecordedFolder $folder
    if ((Split-Path -Leaf $Path) -ne $FirstPageName -or -not (Test-Path -LiteralPath $folder)) { return }
    $state = Get-FirstPageState $Path
    if ($state -ceq 'absent' -or $state -ceq 'other' -or ($Before -split ' ') -cnotcontains $state) { return }
    $lock = Lock-Folder $folder
    try { Remove-SingleFile $Path } finally { $lock.Close() }
}
