# ---- prelude: paths --------------------------------------------------------------------------------
# Refuse to change anything through a link, or outside of nbserver's folders at undo.

# The service account, and people who share a folder with it, could replace a folder in which this script works with a
# link: a junction that leads to a folder of Windows, for example.

# Return whether the path is in the folder, at any depth. Windows compares paths without regard to case.
function Test-Below([string]$Path, [string]$Folder) {
    $Path.StartsWith("$Folder\", [StringComparison]::OrdinalIgnoreCase)
}

# Return whether the path is what Windows calls a reparse point: a junction, a symbolic link, or a mounted volume.
function Test-Link([string]$Path) {
    if (-not [IO.File]::Exists($Path) -and -not [IO.Directory]::Exists($Path)) { return $false }
    [bool]([IO.File]::GetAttributes($Path) -band [IO.FileAttributes]::ReparsePoint)
}

# Return each link in the path: the path itself and the folders above it, up to the drive or to one of $TopFolders.
function Get-Link([string]$Path) {
    $current = $Path
    while ($TopFolders -notcontains $current) {
        $parent = Split-Path -Parent $current
        if (-not $parent) { return }   # the drive
        if (Test-Link $current) { $current }
        $current = $parent
    }
}

# This is called immediately before each change.
function Assert-NoLink([string]$Path) {
    foreach ($link in @(Get-Link $Path)) {
        throw (New-Failure link-in-path ('{path} was not changed, because {link} is a link (a junction, symbolic ' +
                'link, or mounted volume). Check where the link points, remove it, then try again') @{
                path = $Path; link = $link
            })
    }
}

# While a file in a folder is open, Windows refuses to rename that folder or a folder above it, or to turn one of them
# into a link. Return such a file; .Close() also deletes it. Older .NET accepts folders of at most 247 characters and
# files of at most 259, which leaves 11 for a name.
function Lock-Folder([string]$Path) {
    Assert-NoLink $Path
    $file = Join-Path $Path "nb-$([guid]::NewGuid().ToString().Substring(0, 8))"
    $lock = New-Object IO.FileStream $file, ([IO.FileMode]::CreateNew), ([IO.FileAccess]::Write),
    ([IO.FileShare]::None), 1, ([IO.FileOptions]::DeleteOnClose)
    try { Assert-NoLink $Path }
    catch { $lock.Close(); throw }
    $lock
}

# Return the folders above the path that do not exist, the outermost first.
function Get-MissingParent([string]$Path) {
    $missing = @()
    $parent = Split-Path -Parent $Path
    while ($parent -and -not (Test-Path -LiteralPath $parent)) {
        $missing = @($parent) + $missing
        $parent = Split-Path -Parent $parent
    }
    $missing
}

# ---- undo restores only these paths, whatever the record contains

function Test-KnownPath([string]$Path) {
    if ($Path -ne [IO.Path]::GetFullPath($Path)) { return $false }   # such as C:\ProgramData\nbserver\..\else
    foreach ($folder in $Programs, $StateFolder) {
        if ($Path -eq $folder -or (Test-Below $Path $folder)) { return $true }
    }
    $Path.TrimEnd('\') -eq (Get-NotebookPath)
}

# Return whether the folder has notebooks or the events of runs: undo removes no such folder with all its contents.
function Test-KeptFolder([string]$Path) {
    $folder = $Path.TrimEnd('\')
    if ($folder -eq $StateFolder) { return $true }
    foreach ($kept in (Get-NotebookPath), (Join-Path $StateFolder 'notebooks'), (Join-Path $StateFolder 'runs')) {
        if ($folder -eq $kept -or (Test-Below $folder $kept)) { return $true }
    }
    $false
}

function Assert-KnownPath([string]$Path) {
    if (-not (Test-KnownPath $Path)) {
        throw (New-Failure record-path-unknown ('{record}, the list of what undo restores, contains a line for ' +
                '{path}, which is not in an nbserver folder. Find out who added this line, remove it, then try ' +
                'again') @{
                path = $Path; record = $RecordFile
            })
    }
}
