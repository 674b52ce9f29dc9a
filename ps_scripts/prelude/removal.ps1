# ---- prelude: removal ------------------------------------------------------------------------------
# Remove folders with everything in them, and never what a link in them leads to.

# A link in a folder is removed as a link. Remove-Item -Recurse is not used: it follows some links, and then removes
# what they lead to.

# A program that is exiting, or a virus scanner, may hold a file for a moment.
function Remove-Folder([string]$Path) {
    Assert-NoLink $Path
    if (-not (Test-Path -LiteralPath $Path)) { return }
    $removal = @{ Path = $Path; Count = 0; Watch = [Diagnostics.Stopwatch]::StartNew() }
    for ($try = 1; ; $try++) {
        try { Remove-Tree $removal; return }
        catch {
            if ($try -ge 10) { throw }
            [Threading.Thread]::Sleep(1000)
            Write-RemovalProgress $removal
        }
    }
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

# Remove the deepest folders first. A stack instead of recursion: a notebook can nest folders at any depth.
function Remove-Tree($Removal) {
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
        $readOnly = [IO.File]::GetAttributes($folder) -band [IO.FileAttributes]::ReadOnly
        if ($readOnly) { [IO.File]::SetAttributes($folder, 'Directory') }
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
            if ($isLink) { Remove-Link $path $isFolder } else { Remove-File $item }
            $Removal.Count++
            Write-RemovalProgress $Removal
        }
    }
    finally { if ($lock) { $lock.Close() } }
}

function Remove-Link([string]$Path, [bool]$IsFolder) {
    if ($IsFolder) { [IO.Directory]::Delete($Path, $false) } else { [IO.File]::Delete($Path) }
}

function Remove-File([IO.FileInfo]$File) {
    if ($File.Attributes -band [IO.FileAttributes]::ReadOnly) { [IO.File]::SetAttributes($File.FullName, 'Normal') }
    [IO.File]::Delete($File.FullName)
}

# Remove a folder for people's files, but only if it is empty.
function Remove-DataFolder([string]$Path) {
    if (@(Get-ChildItem -LiteralPath $Path -Force).Count) {
        Write-Notice warning folder-kept '{path} contains files and was kept' @{ path = $Path }
        return
    }
    [IO.Directory]::Delete($Path, $false)
}
