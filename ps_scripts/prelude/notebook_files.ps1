# ---- prelude: notebook_files -----------------------------------------------------------------------
# List, receive, and send the files of the notebooks: modes list, push, pull.

# No link is followed. Names that begin with a period are left out. What is created gets the access list of its folder,
# so the server may change it.

$UnfinishedFolder = Join-Path $StateFolder 'unfinished' # of files that arrive in several runs
$NewFileName = '\A\.nb[0-9a-f]{8}\z'                     # of a file that is not complete
$PieceSize = 131072                                      # bytes in one event
$MostToRead = 4000000000                                 # bytes of all files of which a list has the hashes
$MostFiles = 10000                                       # files and folders in a list
$LongestPath = 1000                                      # bytes of a path in a list
$MostLevels = 32                                         # folders and file in a path in a list
$ToHash = @{ Left = 2 * $MostToRead }                    # bytes that push may read: each file twice
$StrictUtf8 = New-Object Text.UTF8Encoding $false, $true
$ValidName = '\A(?!\.)[^\\/:*?"<>|\x00-\x1f]+(?<![. ])\z'

function Get-NotebookFolder {
    $folder = Get-NotebookPath
    if (-not (Test-Record 'file' $ConfigurationFile) -or -not [IO.Directory]::Exists($folder)) {
        throw (New-Failure notebooks-not-set-up ('no notebook server that nbserver manages on this host uses the ' +
                'folder {path}. Run nbserver apply, then try again') @{ path = $folder })
    }
    Assert-NoLink $folder
    $folder
}

# Return the file, opened for reading. A notebook that its server has open can be read.
function Open-Notebook([string]$File) {
    Assert-NoLink $File
    $stream = [IO.File]::Open($File, 'Open', 'Read', 'ReadWrite, Delete')
    try { Assert-NoLink $File }
    catch { $stream.Close(); throw }
    $stream
}

# Return the SHA-256 of a file, "-" if there is none, or another word for what was not in the list of the sender. A run
# holds the lock meanwhile, so it reads no more than the files of a list, however long a notebook makes a file.
function Get-NotebookSha256([string]$File) {
    if (Test-Link $File) { return 'link' }
    if ([IO.Directory]::Exists($File)) { return 'folder' }
    if (-not [IO.File]::Exists($File)) { return '-' }
    $stream = Open-Notebook $File
    try {
        $size = $stream.Length
        if ($size -gt $ToHash.Left) { return 'large' }
        $ToHash.Left -= $size
        $sha256 = Get-StartSha256 $stream $size
        if ($stream.Length -eq $size) { $sha256 } else { 'changed' }
    }
    finally { $stream.Close() }
}

$ChangingModes += 'push'

# ---- mode list

$Modes.list = {
    $top = Get-NotebookFolder
    $list = @{ Top = $top; Left = $MostToRead; Count = 0; Pending = New-Object Collections.Generic.Stack[string] }
    $list.Pending.Push('')
    while ($list.Pending.Count) { Write-NotebookList $list }
}

# Report the files in one folder, and add its folders to those that are pending.
function Write-NotebookList($List) {
    $below = $List.Pending.Pop()
    $folder = "$($List.Top)\$($below.Replace('/', '\'))".TrimEnd('\')
    try { $items = @((New-Object IO.DirectoryInfo $folder).GetFileSystemInfos()) }
    catch { Write-FileState unreadable "$(if ($below) { $below } else { '.' })"; return }
    foreach ($item in $items) {
        if ($item.Name.StartsWith('.', [StringComparison]::Ordinal)) { continue }
        $List.Count++
        if ($List.Count -gt $MostFiles) {
            throw (New-Failure notebooks-too-many ('{path} contains more than 10,000 files and folders, the most ' +
                    'that nbserver can copy. Copy them with another program, or move some of them to another ' +
                    'folder') @{ path = $List.Top })
        }
        Write-ListedFile $List $item "$below/$($item.Name)".Trim('/')
    }
}

function Write-ListedFile {
    param($List, $Item, [string]$Path)
    if (-not (Test-ListedPath $Path)) { Write-FileState name (Get-ShortPath $Path); return }
    if ($Item.Attributes -band [IO.FileAttributes]::ReparsePoint) { Write-FileState link $Path; return }
    if ($Item.Attributes -band [IO.FileAttributes]::Directory) { $List.Pending.Push($Path); return }
    try { $stream = Open-Notebook $Item.FullName }
    catch { Write-FileState unreadable $Path; return }
    try {
        $size = $stream.Length
        if ($size -gt $List.Left) { Write-FileState large $Path $size; return }
        $List.Left -= $size
        Write-FileState present $Path $size (Get-StartSha256 $stream $size)
    }
    finally { $stream.Close() }
}

# Return whether a list can have the path.
function Test-ListedPath([string]$Path) {
    try { $length = $StrictUtf8.GetBytes($Path).Length } catch { return $false }
    $length -le $LongestPath -and $Path.Split('/').Length -le $MostLevels
}

# Return the beginning of a path, as valid Unicode.
function Get-ShortPath([string]$Path) {
    $start = $Path
    if ($Path.Length -gt 200) { $start = $Path.Substring(0, 200) + '...' }
    $Utf8.GetString($Utf8.GetBytes($start))
}

# ---- mode pull

$Modes.pull = {
    $top = Get-NotebookFolder
    foreach ($part in $Parts) {
        Assert-PartPath $part
        try { $stream = Open-Notebook "$top\$($part.Path.Replace('/', '\'))" }
        catch { Write-FileState unreadable $part.Path; continue }
        try { Write-Content $part $stream } finally { $stream.Close() }
    }
}

# Report the data of a part, in pieces. A file may have become shorter meanwhile.
function Write-Content($Part, [IO.Stream]$Stream) {
    [void]$Stream.Seek($Part.Offset, 'Begin')
    $offset = $Part.Offset
    $left = $Part.Length
    $buffer = New-Object byte[] $PieceSize
    do {
        $size = $Stream.Read($buffer, 0, [Math]::Min($PieceSize, $left))
        $data = [Convert]::ToBase64String($buffer, 0, $size)
        Write-Event content @{ data = $data; offset = $offset; path = $Part.Path }
        $offset += $size
        $left -= $size
    } while ($size -and $left)
}

# ---- mode push

# A file is written next to the one that it replaces, and takes its place once it is complete and has the right hash. It
# replaces only the file that the sender knows ("Before"), and what it does not know is kept: a conflict. What cannot be
# written or read does not stop the others; a full disk does, and so does a file that another program holds for long.
$Modes.push = {
    $top = Get-NotebookFolder
    $cleaned = @{}
    foreach ($part in $Parts) {
        Assert-PartPath $part
        Start-PartData $part
        try {
            $folder = Add-PartFolder $top $part
            if ($folder) { Receive-Part $folder $part $cleaned } else { Write-Conflict $part }
        }
        catch {
            if ($_.Exception.Data.Contains('code') -or (Test-DiskFull $_.Exception)) { throw }
            Write-FileState unreadable $part.Path $part.Size
        }
        Assert-PartComplete (Copy-PartData)
    }
}

function Assert-PartComplete([bool]$Complete) {
    if (-not $Complete) {
        throw (New-Failure notebooks-data-short ('this host did not receive all of the data that nbserver sent. ' +
                'Check the connection to this host, then run the command again'))
    }
}

function Write-Conflict($Part) { Write-FileState conflict $Part.Path $Part.Size }

# The workstation sends only such paths, and refuses others by name.
function Assert-PartPath($Part) {
    foreach ($name in $Part.Path.Split('/')) {
        if ($name -cmatch $ValidName) { continue }
        throw (New-Failure notebooks-path-invalid ('nbserver sent a path that is not valid: {path}. Update nbserver ' +
                'on the workstation, then run the command again') @{
                path = $Part.Path
            })
    }
}

# Return the folder for the file, which is created; or nothing if a file or a link is in its place.
function Add-PartFolder([string]$Top, $Part) {
    $names = $Part.Path.Split('/')
    $folder = $Top
    for ($i = 0; $i -lt $names.Length - 1; $i++) {
        $next = "$folder\$($names[$i])"
        if ((Test-Link $next) -or [IO.File]::Exists($next)) { return }
        if (-not [IO.Directory]::Exists($next)) {
            $lock = Lock-Folder $folder
            try { [void](New-Item -ItemType Directory -Path $next) } finally { $lock.Close() }
        }
        $folder = $next
    }
    $folder
}

function Receive-Part {
    param([string]$Folder, $Part, [hashtable]$Cleaned)
    $lock = Lock-Folder $Folder
    try {
        $file = "$Folder\$(Split-Path -Leaf $Part.Path.Replace('/', '\'))"
        $new = "$Folder\.nb$($Part.Sha256.Substring(0, 8))"
        $begun = Get-BegunFile $new $Part
        if (-not $Part.Offset) {
            if (-not $Cleaned.ContainsKey($Folder)) { Remove-UnfinishedFile $Folder }
            $Cleaned[$Folder] = $true
            if ((Get-NotebookSha256 $file) -cne $Part.Before) { Write-Conflict $Part; return }
        }
        elseif (-not [IO.File]::Exists($begun)) { Write-FileState incomplete $Part.Path $Part.Size; return }
        $sha256 = Write-Part $begun $Part
        if (-not $sha256) { return }
        if ($begun -ne $new) {
            if ($sha256 -ceq $Part.Sha256) { Copy-File $begun $new }
            Remove-SingleFile $begun
        }
        Complete-File $new $file $Part $sha256
    }
    finally { $lock.Close() }
}

# Return the file that gets the data. Between two runs, a notebook could replace a file in its folder by a hard link to
# a file of Windows: one that arrives in several runs is kept in the state folder until it is complete.
function Get-BegunFile([string]$New, $Part) {
    if (-not $Part.Offset -and $Part.Length -eq $Part.Size) { return $New }
    Add-Folder $UnfinishedFolder $StateAccess
    if (-not $Part.Offset) { Remove-UnfinishedFile $UnfinishedFolder }
    Join-Path $UnfinishedFolder (Split-Path -Leaf $New)
}

# An earlier run may have been interrupted.
function Remove-UnfinishedFile([string]$Folder) {
    foreach ($item in (New-Object IO.DirectoryInfo $Folder).GetFileSystemInfos()) {
        if ($item.Name -cmatch $NewFileName) { Remove-SingleFile $item.FullName }
    }
}

# Append the data to the file that is not complete. Return its SHA-256 if it now is.
function Write-Part([string]$New, $Part) {
    Assert-NoLink $New
    $mode = 'CreateNew'
    if ($Part.Offset) { $mode = 'Open' }
    $saved = Save-PartData ([IO.File]::Open($New, $mode, 'ReadWrite', 'Read')) $Part
    Assert-PartComplete $saved.Arrived
    $saved.Sha256
}

function Complete-File {
    param([string]$New, [string]$File, $Part, [string]$Sha256)
    if ($Sha256 -cne $Part.Sha256) {
        Remove-SingleFile $New
        Write-FileState damaged $Part.Path $Part.Size
    }
    elseif ((Get-NotebookSha256 $File) -cne $Part.Before) {
        Remove-SingleFile $New
        Write-Conflict $Part
    }
    else {
        if ([IO.File]::Exists($File)) { Clear-ReadOnly $File }
        Move-Over $New $File
        $Run.Changed++
        Write-FileState stored $Part.Path $Part.Size $Sha256
    }
}
