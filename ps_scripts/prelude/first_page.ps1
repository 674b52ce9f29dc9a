# ---- prelude: first_page ---------------------------------------------------------------------------
# Put a first notebook into the folder for notebooks, and keep what people make of it.

# Kind first_page: the record has the states of this file that are not somebody's work: absent, and the SHA-256 of each
# text that this script wrote. In any other state the file stays as it is, also at undo. Once the file is written,
# absent is no longer in the record: a file that somebody deletes is not created again.

$FirstPageName = 'Welcome.ipynb'

function Get-FirstPagePath { Join-Path (Expand-Path $Settings.notebook.directory) $FirstPageName }

function Get-FirstPage { $FirstPage -replace "`r|\A\s+", '' }

# Return "absent", the SHA-256 of the file, or "other" for what is not a file.
function Get-FirstPageState([string]$Path) {
    if ((Test-Link $Path) -or [IO.Directory]::Exists($Path)) { return 'other' }
    if (-not [IO.File]::Exists($Path)) { return 'absent' }
    Get-FileSha256 $Path
}

function Get-FirstPageRecord([string]$Path) {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -eq 'first_page' -and $line.key -eq $Path) { return $line.before -split ' ' }
    }
    'absent'
}

function Set-FirstPageRecord([string]$Path, [string]$States) {
    Write-Record @(Read-Record | Where-Object { $_.kind -ne 'first_page' -or $_.key -ne $Path })
    Save-Before 'first_page' $Path $States
}

# True if the file has another text than this script, and nobody has changed it.
function Test-FirstPageDue([string]$Path) {
    if (-not (Get-FirstPage)) { return $false }
    $state = Get-FirstPageState $Path
    (@(Get-FirstPageRecord $Path) -ccontains $state) -and $state -cne (Get-Sha256 $Utf8.GetBytes((Get-FirstPage)))
}

function Compare-FirstPage {
    $path = Get-FirstPagePath
    if (Test-FirstPageDue $path) {
        Add-Difference first-page '{path}' 'missing or of other settings' 'as in this script' @{ path = $path }
    }
}

# The service may write in this folder, so the folder is locked, and the new file must not exist before.
function Add-FirstPage {
    $path = Get-FirstPagePath
    if (-not (Test-FirstPageDue $path)) { return }
    $bytes = $Utf8.GetBytes((Get-FirstPage))
    $hash = Get-Sha256 $bytes
    Set-FirstPageRecord $path "$(Get-FirstPageState $path) $hash"
    $lock = Lock-Folder (Split-Path -Parent $path)
    try {
        Remove-SingleFile "$path.new"
        $file = New-Object IO.FileStream "$path.new", ([IO.FileMode]::CreateNew), ([IO.FileAccess]::Write)
        try { $file.Write($bytes, 0, $bytes.Length) } finally { $file.Close() }
        Assert-NoLink $path
        Move-Over "$path.new" $path
    }
    finally { $lock.Close() }
    Set-FirstPageRecord $path $hash
}

$Restore.first_page = {
    param($Path, $Before)
    $folder = Split-Path -Parent $Path
    if ((Split-Path -Leaf $Path) -ne $FirstPageName -or -not (Test-Path -LiteralPath $folder)) { return }
    if (($Before -split ' ') -cnotcontains (Get-FirstPageState $Path)) { return }
    $lock = Lock-Folder $folder
    try { Remove-SingleFile $Path } finally { $lock.Close() }
}
