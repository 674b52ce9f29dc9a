# ---- prelude: installed_files ----------------------------------------------------------------------
# Compare files with those that were installed.

# Right after an installation of Python, OpenSSL, or an environment, a list of its files is written into the state
# folder, where only administrators can write. The first line is the SHA-256 of the download or the lock. The second
# line has the number of files, their size, and a checksum of their times. The other lines have size, time, SHA-256,
# and path of a file. Each test compares the first two lines, and only if they differ, each file. A thorough test also
# reads all files and compares the hashes. This script does all of it: an altered Python could hide its own changes.

$FileLists = Join-Path $StateFolder 'installed'
$DamageCodes = 'files-changed', 'files-missing', 'files-other-content', 'other-download'

function Get-FileList([string]$Name) { Join-Path $FileLists "$Name.txt" }

# Return the files in the folder, at any depth. No link is followed. Python writes into folders __pycache__ whenever an
# administrator runs it, so they only count with -Caches: in an environment, whose modules are all compiled.
function Get-InstalledFile([string]$Folder, [switch]$Caches) {
    $pending = New-Object Collections.Generic.Stack[IO.DirectoryInfo]
    $pending.Push([IO.DirectoryInfo]$Folder)
    while ($pending.Count) {
        $current = $pending.Pop()
        $current.GetFiles()
        foreach ($inner in $current.GetDirectories()) {
            if ($inner.Attributes -band [IO.FileAttributes]::ReparsePoint) { continue }
            if ($Caches -or $inner.Name -ne '__pycache__') { $pending.Push($inner) }
        }
    }
}

function Get-FileSummary([IO.FileInfo[]]$Files) {
    $size = [long]0
    $times = [long]0
    foreach ($file in $Files) {
        $size += $file.Length
        $times += $file.LastWriteTimeUtc.Ticks % 1000000007
    }
    "$($Files.Count) $size $times"
}

function Write-FileList {
    param([string]$Name, [string]$Folder, [string]$Source, [switch]$Caches)
    Write-StepProgress listing-files 'Listing the installed files in {path}' @{ path = $Folder }
    $files = @(Get-InstalledFile $Folder -Caches:$Caches)
    $lines = foreach ($file in $files) {
        "$($file.Length) $($file.LastWriteTimeUtc.Ticks) $(Get-FileSha256 $file.FullName) $($file.FullName)"
    }
    Add-Folder $FileLists
    $text = (@($Source, (Get-FileSummary $files)) + @($lines)) -join "`n"
    Write-TextFile (Get-FileList $Name) "$text`n"
}

function Remove-FileList([string]$Name) {
    $list = Get-FileList $Name
    if (Test-Path -LiteralPath $list) { Remove-SingleFile $list }
}

function Compare-InstalledFile {
    param([string]$Name, [string]$Folder, [string]$Source, [switch]$Caches)
    $list = Get-FileList $Name
    if (-not (Test-Path -LiteralPath $list)) {
        Add-Difference files-not-listed 'list of the installed files in {path}' $null 'a complete list' @{
            path = $Folder
        }
        return
    }
    $lines = [IO.File]::ReadAllLines($list, $Utf8)
    if ($lines[0] -ne $Source) {
        Add-Difference other-download (
            'SHA-256 of the download or lock that {path} was installed from') $lines[0] $Source @{ path = $Folder }
        return
    }
    $files = @(Get-InstalledFile $Folder -Caches:$Caches)
    if ($Run.Thorough) {
        Write-StepProgress reading-files 'Comparing the hashes of the installed files in {path}' @{ path = $Folder }
    }
    elseif ((Get-FileSummary $files) -eq $lines[1]) { return }
    Compare-EachFile $Folder $lines $files
}

function Compare-EachFile {
    param([string]$Folder, [string[]]$Lines, [IO.FileInfo[]]$Files)
    $listed = New-Object 'Collections.Generic.Dictionary[string,string]' ([StringComparer]::OrdinalIgnoreCase)
    for ($i = 2; $i -lt $Lines.Count; $i++) {
        $fields = $Lines[$i] -split ' ', 4
        $listed[$fields[3]] = $fields[0..2] -join ' '
    }
    $changed = New-Object Collections.Generic.List[string]
    $other = New-Object Collections.Generic.List[string]
    $added = New-Object Collections.Generic.List[string]
    foreach ($file in $Files) {
        $path = $file.FullName
        if (-not $listed.ContainsKey($path)) { $added.Add($path); continue }
        $size, $ticks, $sha256 = $listed[$path] -split ' '
        [void]$listed.Remove($path)
        if ("$($file.Length) $($file.LastWriteTimeUtc.Ticks)" -ne "$size $ticks") { $changed.Add($path) }
        elseif ($Run.Thorough -and (Get-FileSha256 $path) -ne $sha256) { $other.Add($path) }
    }
    Add-ChangedFile $changed @($listed.Keys)
    Add-OtherContent $other
    if ($added.Count) { Write-AddedFile $Folder $added }
}

function Add-ChangedFile([string[]]$Changed, [string[]]$Missing) {
    if ($Changed.Count) {
        Add-Difference files-changed 'installed files ({count}), such as {path}' 'changed' 'as installed' @{
            count = $Changed.Count; path = $Changed[0]
        }
    }
    if ($Missing.Count) {
        Add-Difference files-missing 'installed files ({count}), such as {path}' $null 'as installed' @{
            count = $Missing.Count; path = $Missing[0]
        }
    }
}

function Add-OtherContent([string[]]$Paths) {
    if (-not $Paths.Count) { return }
    Add-Difference files-other-content ('content of installed files ' +
        '({count}), such as {path}') 'changed' 'as installed' @{
        count = $Paths.Count; path = $Paths[0]
    }
}

# ---- an installation without a list, of an earlier release

# Add a difference for files that do not have the hashes that the packages themselves have in their files RECORD. They
# have lines PATH,sha256=HASH,SIZE, whose hash is in the alphabet of URLs and without padding (PEP 376, PEP 427).
function Compare-RecordedHash([string]$Packages) {
    Write-StepProgress reading-files 'Comparing the hashes of the installed files in {path}' @{ path = $Packages }
    $changed = New-Object Collections.Generic.List[string]
    foreach ($folder in [IO.Directory]::GetDirectories($Packages, '*.dist-info')) {
        $record = Join-Path $folder 'RECORD'
        if (-not (Test-Path -LiteralPath $record)) { continue }
        foreach ($line in [IO.File]::ReadAllLines($record, $Utf8)) {
            if ($line -cnotmatch '^"?(.+?)"?,sha256=([A-Za-z0-9_-]{43}),\d*$') { continue }
            $path = [IO.Path]::GetFullPath((Join-Path $Packages $Matches[1]))
            $bytes = [Convert]::FromBase64String(($Matches[2] -replace '-', '+' -replace '_', '/') + '=')
            $sha256 = ([BitConverter]::ToString($bytes) -replace '-', '').ToLowerInvariant()
            if (-not (Test-Path -LiteralPath $path) -or (Get-FileSha256 $path) -ne $sha256) { $changed.Add($path) }
        }
    }
    Add-OtherContent $changed
}

# ---- what an Apply does about it

function Test-Difference([string[]]$Codes) {
    [bool]@($Run.Differences | Where-Object { $Codes -contains $_.code }).Count
}

# Return whether only the list is missing.
function Test-OnlyUnlisted { $Run.Differences.Count -eq 1 -and (Test-Difference files-not-listed) }
