# ---- prelude: folders are removed with all that is in them ---------------------------------------------
# A link in a folder is removed as the link that it is. Remove-Item -Recurse follows some links, and then removes
# what they lead to.

# A program that ends, or a virus scanner, may hold a file for a moment.
function Remove-Folder([string]$Path) {
    Assert-NoLink $Path
    if (-not (Test-Path -LiteralPath $Path)) { return }
    for ($try = 1; ; $try++) {
        try { Remove-Tree $Path; return }
        catch { if ($try -ge 10) { throw }; [Threading.Thread]::Sleep(1000) }
    }
}

$Restore.folder = { param($Path) Remove-Folder $Path }

function Remove-Link([string]$Path, [bool]$IsFolder) {
    if ($IsFolder) { [IO.Directory]::Delete($Path, $false) } else { [IO.File]::Delete($Path) }
}

# From the bottom up, without calling itself: a notebook can nest folders as deep as it likes. Older .NET takes no path
# of more than 259 characters, so a folder far down is moved up first.
function Remove-Tree([string]$Path) {
    $left = New-Object Collections.Generic.Stack[string]
    $left.Push($Path)
    while ($left.Count) {
        $folder = $left.Peek()
        $below = @(Remove-Files $folder)
        foreach ($one in $below) {
            if ($one.Length -gt 150 -and $folder -ne $Path) {
                $up = Join-Path $Path ([guid]::NewGuid().ToString().Substring(0, 8))
                [IO.Directory]::Move($one, $up)
                $one = $up
            }
            $left.Push($one)
        }
        if ($below.Count) { continue }
        [void]$left.Pop()
        $readOnly = [IO.File]::GetAttributes($folder) -band [IO.FileAttributes]::ReadOnly
        if ($readOnly) { [IO.File]::SetAttributes($folder, 'Directory') }
        [IO.Directory]::Delete($folder, $false)
    }
}

# Removes the files and links of one folder, and puts out the folders in it. Where others than administrators can
# write, it is locked meanwhile, so that it stays the folder that it is.
function Remove-Files([string]$Folder) {
    $lock = $null
    if ($Folder -ne $Programs -and -not (Test-Below $Folder $Programs)) { $lock = Lock-Folder $Folder }
    try {
        foreach ($item in (New-Object IO.DirectoryInfo $Folder).GetFileSystemInfos()) {
            $path = $item.FullName
            $isFolder = [bool]($item.Attributes -band [IO.FileAttributes]::Directory)
            if ($lock -and $path -eq $lock.Name) { continue }
            if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { Remove-Link $path $isFolder; continue }
            if ($isFolder) { $path; continue }
            if ($item.Attributes -band [IO.FileAttributes]::ReadOnly) { [IO.File]::SetAttributes($path, 'Normal') }
            [IO.File]::Delete($path)
        }
    }
    finally { if ($lock) { $lock.Close() } }
}
