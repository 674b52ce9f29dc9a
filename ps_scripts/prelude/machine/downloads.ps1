# ---- prelude: downloads ----------------------------------------------------------------------------
# Download files into the cache, and check their hashes before they are used.

$LargestDownload = 1000000000                            # bytes, if the catalog does not have the size
$SlowestDownload = @{ Bytes = 61440; Seconds = 60 }      # a server must send so many bytes in each minute

# Return the path in the cache: the first 16 digits of the hash, a hyphen, and the file name in the URL.
function Get-CachedFile($Download) {
    Join-Path $CacheFolder ($Download.sha256.Substring(0, 16) + '-' + (Get-DownloadName $Download))
}

function Get-DownloadName($Download) { Split-Path -Leaf ([Uri]$Download.url).AbsolutePath }

# Make sure that the file is in the cache, complete and with the hash of the catalog; fail otherwise. A file that is
# downloaded has the suffix .part until its hash is checked.
function Save-Download($Download) {
    $file = Get-CachedFile $Download
    Add-Folder $CacheFolder
    if (Test-Path -LiteralPath $file) {
        if ((Get-FileSha256 $file) -eq $Download.sha256) { return }
        Remove-SingleFile $file
    }
    if (Test-Push) { Move-DeliveredProgram $Download "$file.part" }
    else { Receive-Download $Download "$file.part" }
    Assert-Download $Download "$file.part"
    Move-Over "$file.part" $file
}

# Try three times. An answer that the request was wrong (status 4xx) stays the same, and so does the size of a file.
function Receive-Download($Download, [string]$Part) {
    for ($try = 1; ; $try++) {
        $status = 0
        try {
            $failure = Receive-File $Download.url $Part $Download.size
            if (-not $failure) { return }
        }
        catch [Net.WebException], [IO.IOException] {
            if (Test-DiskFull $_.Exception) {
                Remove-SingleFile $Part
                throw
            }
            $failure = Get-WebFailure $_.Exception
            $status = Get-HttpStatus $_.Exception
        }
        $isTooLarge = $failure.Data['code'] -ceq 'download-too-large'
        if ($isTooLarge) { Remove-SingleFile $Part }
        if ($try -ge 3 -or $isTooLarge -or ($status -ge 400 -and $status -lt 500)) {
            throw (New-Failure download-failed ('could not download {url}: {cause}. Check this host''s network ' +
                    'connection and downloads.proxy in the inventory, or add a mirror URL to a site catalog') @{
                    url = $Download.url
                } -Cause $failure)
        }
        Write-Notice warning download-interrupted ('the download of {url} was interrupted ({reason}) and is being ' +
            'resumed') @{
            url = $Download.url; reason = $failure.Message
        }
        [Threading.Thread]::Sleep(1000 * $try)
    }
}

function Assert-Download($Download, [string]$Part) {
    $actual = Get-FileSha256 $Part
    if ($actual -eq $Download.sha256) { return }
    $size = (Get-Item -LiteralPath $Part).Length
    Remove-SingleFile $Part
    throw (New-Failure download-wrong-hash ('{url} does not match the catalog: expected SHA-256 {expected}, got ' +
            '{actual} ({size} bytes). The downloaded file was deleted. Check whether a proxy replaces this file. ' +
            'Before you change the catalog, compare the hash with the publisher''s') @{
            url = $Download.url; expected = $Download.sha256; actual = $actual; size = $size
        })
}

# Continue an earlier attempt: ask only for the bytes that are missing. Status 206 is the answer with these bytes, any
# other answer has the whole file. Status 416 means that there are no more bytes: the file is complete, or its hash is
# wrong. Return a failure if the connection was closed too early, or if too much or too little arrives.
function Receive-File {
    param([string]$Url, [string]$File, $Size)
    $done = 0
    if (Test-Path -LiteralPath $File) { $done = (Get-Item -LiteralPath $File).Length }
    $request = New-WebRequest $Url $done
    try { $response = $request.GetResponse() }
    catch [Net.WebException] {
        if ((Get-HttpStatus $_.Exception) -eq 416) { return }
        throw
    }
    try {
        if ([int]$response.StatusCode -eq 206) { $out = [IO.File]::Open($File, 'Append', 'Write', 'Read') }
        else {
            $done = 0
            $out = [IO.File]::Open($File, 'Create', 'Write', 'Read')
        }
        try { Copy-Response $Url $response $out $done $Size }
        finally { $out.Close() }
    }
    finally { $request.Abort() }                 # a server may send without end; Close could wait for it
}

# $Done is how many bytes the file has already; $Size is its size in the catalog, if known. Progress is reported every
# second.
function Copy-Response {
    param([string]$Url, $Response, [IO.Stream]$Out, [long]$Done, $Size)
    $length = $Response.ContentLength            # of this answer; -1 if the server does not send it
    $end = $Done + $length
    $total = $Size
    if (-not $total -and $length -gt 0) { $total = $end }
    $name = Split-Path -Leaf $Url
    $in = $Response.GetResponseStream()
    $buffer = New-Object byte[] 1048576
    $time = [Diagnostics.Stopwatch]::StartNew()
    $reported = 0
    $minute = @{ Bytes = 0; Time = [Diagnostics.Stopwatch]::StartNew() }
    while (($count = $in.Read($buffer, 0, $buffer.Length)) -gt 0) {
        $Done += $count
        $failure = Get-DownloadFault $Done $Size $minute $count
        if ($failure) { return $failure }
        $Out.Write($buffer, 0, $count)
        if ($time.Elapsed.TotalSeconds -lt $reported + 1) { continue }
        $reported = $time.Elapsed.TotalSeconds
        Write-StepProgress downloading 'Downloading {file}' @{ file = $name } -Done $Done -Total $total -Unit bytes
    }
    if ($length -gt 0 -and $Done -lt $end) {
        New-Failure connection-closed 'the connection was closed after {done} of {total} bytes' @{
            done = $Done; total = $end
        }
    }
}

# Return a failure if the server sends more than the file has, or next to nothing. $Minute is what has arrived in the
# current minute, without the last $Count bytes.
function Get-DownloadFault {
    param([long]$Done, $Size, [hashtable]$Minute, [int]$Count)
    $limit = $LargestDownload
    if ($Size) { $limit = $Size }
    if ($Done -gt $limit) {
        return New-Failure download-too-large 'the file is larger than {limit} bytes, so nbserver discarded it' @{
            limit = $limit
        }
    }
    $Minute.Bytes += $Count
    if ($Minute.Time.Elapsed.TotalSeconds -lt $SlowestDownload.Seconds) { return }
    if ($Minute.Bytes -lt $SlowestDownload.Bytes) {
        return New-Failure download-slow 'the server sent only {size} bytes in a minute' @{ size = $Minute.Bytes }
    }
    $Minute.Bytes = 0
    $Minute.Time.Restart()
}

# Unpack a download next to the folder whose place it takes. It has the suffix .new.
function Expand-Download($Download, [string]$Folder) {
    if (Test-Path -LiteralPath "$Folder.new") { Remove-Folder "$Folder.new" }
    Write-StepProgress unpacking 'Unpacking {folder}' @{ folder = Split-Path -Leaf $Folder }
    try { Expand-Zip (Get-CachedFile $Download) "$Folder.new" }
    catch {
        Remove-Folder "$Folder.new"              # a part of it would keep a full disk full
        throw
    }
}

function Expand-Zip([string]$File, [string]$Folder) {
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    [IO.Compression.ZipFile]::ExtractToDirectory($File, $Folder)
}

function Complete-Download([string]$Folder) {
    Save-Before 'folder' $Folder $null
    Invoke-FileChange 'move-folder' "$Folder.new" $Folder
}
