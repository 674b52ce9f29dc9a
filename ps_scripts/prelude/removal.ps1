# ---- prelude: removal ------------------------------------------------------------------------------
# Remove folders with all their contents, but never follow links in them.

# A link in a folder is removed as a link. Remove-Item -Recurse is not used: it follows some links, and then removes
# what they lead to.

function Remove-Folder([string]$Path) {
    Assert-NoLink $Path
    Invoke-FileChange 'remove-tree' $Path @{ Path = $Path; Count = 0; Watch = [Diagnostics.Stopwatch]::StartNew() }
}

$Restore.folder = { param($Path) Remove-Folder $Path }

# An environment has tens of thousands of files, so a removal that takes more than 5 seconds is reported every 5.
function Write-RemovalProgress($Removal) {
    if (-not $Run.Step -or $Removal.Watch.ElapsedMilliseconds -lt 5000) { return }
    Write-StepProgress removing-folder 'Removing {path} ({count} files and folders removed)' @{
        path = $Removal.Path; count = $Removal.Count
    }
    $Removal.Watch.Restart()
}

# Remove the deepest folders first. A stack instead of recursion: a notebook can nest folders at any depth. This is
# called again after a failure, because a program that is exiting may still create files.
function Remove-Tree($Removal) {
    if (-not (Test-Path -LiteralPath $Removal.Path)) { return }
    $pending = New-Object Collections.Generic.Stack[string]
    $pending.Push($Removal.Path)
    while ($pending.Count) {
        $folder = $pending.Peek()
        $subfolders = @(Remove-FolderContent $folder $Removal)
        foreach ($subfolder in $subfolders) {
            if ($folder -eq $Removal.Path) { $pending.Push($subfolder) }
            else { $pending.Push((Move-LongPath $subfolder $Removal.Path)) }
        }
        if ($subfolders.Count) { continue }
        [void]$pending.Pop()
        Clear-ReadOnly $folder
        [IO.Directory]::Delete($folder, $false)
        $Removal.Count++
    }
}

# Older .NET accepts paths of at most 259 characters, so a folder with a long path is first moved to the top.
function Move-LongPath([string]$Folder, [string]$Top) {
    if ($Folder.Length -le 150) { return $Folder }
    $moved = Join-Path $Top ([guid]::NewGuid().ToString().Substring(0, 8))
    [IO.Directory]::Move($Folder, $moved)
    $moved
}

# Remove the files and links in a folder, and return its subfolders. Where accounts other than administrators can
# write, the folder is locked meanwhile, so that nobody can replace it.
function Remove-FolderContent([string]$Folder, $Removal) {
    $lock = $null
    if ($Folder -ne $Programs -and -not (Test-Below $Folder $Programs)) { $lock = Lock-Folder $Folder }
    try {
        foreach ($item in (New-Object IO.DirectoryInfo $Folder).GetFileSystemInfos()) {
            $path = $item.FullName
            if ($lock -and $path -eq $lock.Name) { continue }
            $isFolder = [bool]($item.Attributes -band [IO.FileAttributes]::Directory)
            $isLink = [bool]($item.Attributes -band [IO.FileAttributes]::ReparsePoint)
            if ($isFolder -and -not $isLink) { $path; continue }
            if ($isLink) { Remove-Link $path $isFolder }
            else {
                Clear-ReadOnly $path
                [IO.File]::Delete($path)
            }
            $Removal.Count++
            Write-RemovalProgress $Removal
        }
    }
    finally { if ($lock) { $lock.Close() } }
}

function Remove-Link([string]$Path, [bool]$IsFolder) {
    if ($IsFolder) { [IO.Directory]::Delete($Path, $false) } else { [IO.File]::Delete($Path) }
}

# Remove a folder for people's files, but only if it is empty.
function Remove-DataFolder([string]$Path) {
    if (@(Get-ChildItem -LiteralPath $Path -Force).Count) {
        Write-Notice warning folder-kept '{path} was kept, because it contains files' @{ path = $Path }
        return
    }
    Invoke-FileChange 'remove-folder' $Path
}
