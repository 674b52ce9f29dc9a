# ---- prelude: notebook_removal ---------------------------------------------------------------------
# Remove the notebooks before an undo, if all of them are in an archive.

# The envelope has a hash of the paths and contents in the archive, which the workstation has read again. It is compared
# while the server still runs, and again when it has stopped. Nothing is removed if there is any other file, or anything
# that an archive cannot have, such as a link. Only Jupyter's own copies (.ipynb_checkpoints) and files that nbserver
# has not finished need not be in it. No link is followed.

# Return the folders from $Top on, each with its files. A folder comes before the folders in it.
function Get-NotebookContent([string]$Top) {
    $content = New-Object Collections.ArrayList
    $pending = New-Object Collections.Generic.Stack[object]
    $pending.Push(@{ Place = $Top; Path = ''; Own = $false })
    while ($pending.Count) {
        $folder = $pending.Pop()
        $folder.Files = New-Object Collections.ArrayList
        [void]$content.Add($folder)
        foreach ($item in (New-Object IO.DirectoryInfo $folder.Place).GetFileSystemInfos()) {
            $found = Get-NotebookItem $item $folder
            Assert-CanBeArchived $found $Top
            if ($found.IsFolder) { $pending.Push($found); continue }
            [void]$folder.Files.Add($found)
        }
    }
    $content
}

# A file in a folder of Jupyter's own copies is one of them.
function Get-NotebookItem($Item, $Folder) {
    $isFolder = [bool]($Item.Attributes -band [IO.FileAttributes]::Directory)
    $found = @{
        Place = $Item.FullName; Name = $Item.Name; Path = "$($Folder.Path)/$($Item.Name)".Trim('/')
        IsFolder = $isFolder; IsLink = [bool]($Item.Attributes -band [IO.FileAttributes]::ReparsePoint)
        Own = $Folder.Own
        State = $(if (-not $isFolder) { Get-FileState $Item.FullName })
    }
    if ($isFolder -and $Item.Name -ceq '.ipynb_checkpoints') { $found.Own = $true }
    if ($Item.Name -cmatch $NewFileName) { $found.Own = $true }
    $found
}

# Windows PowerShell cannot reliably tell a file that is deduplicated or in the cloud from a link.
function Assert-CanBeArchived($Found, [string]$Top) {
    if ($Found.IsLink) {
        throw (New-Failure notebook-is-reparse-point ('the notebook folder {folder} contains {path}, which cannot be ' +
                'archived: it is a reparse point, such as a link, a deduplicated file, or a file that is stored only ' +
                'in the cloud. Move or remove it, or replace it with an ordinary copy, then try again') @{
                folder = $Top; path = Get-ShortPath $Found.Path
            })
    }
    $isHidden = $Found.Name.StartsWith('.', [StringComparison]::Ordinal)
    if ($Found.Own -or (-not $isHidden -and (Test-ListedPath $Found.Path))) { return }
    throw (New-Failure notebook-not-archived ('the notebook folder {folder} contains {path}, which cannot be ' +
            'archived: it is a link, is hidden, has an invalid name, or is neither a file nor a folder. Move or ' +
            'remove it, then try again') @{ folder = $Top; path = Get-ShortPath $Found.Path })
}

function Get-FileState([string]$File) {
    $about = New-Object IO.FileInfo $File
    if ($about.Exists) { "$($about.Length) $($about.LastWriteTimeUtc.Ticks)" }
}

# Return the line of a file in the text that is hashed.
function Get-ContentLine($File) {
    $stream = Open-Notebook $File.Place
    try { "$(Get-StartSha256 $stream $stream.Length) $($stream.Length) $($File.Path)`0" } finally { $stream.Close() }
}

# Return the hash of what an archive has, sorted by the bytes of the path: by their hex digits, and not by the rules of
# a language, as Sort-Object does. In Danish, AA comes after Z.
function Get-ContentSha256($Content) {
    $files = @($Content | ForEach-Object { $_.Files } | Where-Object { -not $_.Own })
    $byKey = @{}
    foreach ($file in $files) { $byKey[[BitConverter]::ToString($Utf8.GetBytes($file.Path))] = $file }
    $keys = [string[]]@($byKey.Keys)
    [Array]::Sort($keys, [StringComparer]::Ordinal)
    $lines = @($keys | ForEach-Object { Get-ContentLine $byKey[$_] })
    Get-Sha256 ($Utf8.GetBytes(-join $lines))
}

# Return what is in the folder of the notebooks. It must be what is in the archive.
function Get-ArchivedContent([string]$Top) {
    $content = @(Get-NotebookContent $Top)
    if ((Get-ContentSha256 $content) -cne $Run.Archived) {
        throw (New-Failure notebooks-not-as-archived ('the files in {folder} do not match the archive, so none of ' +
                'them was removed. Run the command again to create a new archive') @{ folder = $Top })
    }
    $content
}

# A folder is locked while its files are removed, so that nobody can replace it.
function Remove-NotebookContent($Content, [string]$Top) {
    foreach ($folder in $Content) {
        $lock = Lock-Folder $folder.Place
        try { foreach ($file in $folder.Files) { Remove-ArchivedFile $file $Top } } finally { $lock.Close() }
    }
    for ($i = $Content.Count - 1; $i -gt 0; $i--) {
        Assert-NoLink $Content[$i].Place
        Invoke-FileChange 'remove-folder' $Content[$i].Place
    }
}

function Remove-ArchivedFile($File, [string]$Top) {
    if ((Test-Link $File.Place) -or (Get-FileState $File.Place) -cne $File.State) {
        throw (New-Failure notebook-changed-meanwhile ('{path} was changed while the notebooks in {folder} were ' +
                'being removed, so it was kept. Keep the archive that nbserver has written: it contains the files ' +
                'that were already removed. Stop the program that changes {path}, then run the command again') @{
                path = $File.Path; folder = $Top
            })
    }
    Remove-SingleFile $File.Place
}

function Compare-WithArchive {
    if (-not $Run.Archived) { return }
    $Run.Step = 'notebook'
    [void](Get-ArchivedContent (Get-NotebookFolder))
}

function Remove-Notebook {
    if (-not $Run.Archived) { return }
    $Run.Step = 'notebook'
    $top = Get-NotebookFolder
    Write-StepProgress removing-notebooks 'Removing the notebooks in {path}' @{ path = $top }
    Remove-NotebookContent @(Get-ArchivedContent $top) $top
    Write-Notice log notebooks-removed 'the notebooks in {path} were removed; all of them are in the archive' @{
        path = $top
    }
}

# Between both, the server stops.
$Hooks.BeforeUndo = @({ Compare-WithArchive }) + $Hooks.BeforeUndo + @({ Remove-Notebook })
