# ---- prelude: downloads, each checked against the hash in the settings before it is used ---------------

function Get-FileSha256([string]$Path) {
    $stream = [IO.File]::OpenRead($Path)
    try { Get-Sha256 $stream } finally { $stream.Close() }
}

function Get-CachedFile($Download) {
    Join-Path $CacheFolder ($Download.sha256.Substring(0, 16) + '-' + (Split-Path -Leaf ([Uri]$Download.url).AbsolutePath))
}

# The file of a download is in the cache afterwards, complete and with the right hash, or this fails.
function Save-Download($Download) {
    $file = Get-CachedFile $Download
    Add-Folder $CacheFolder
    if (Test-Path -LiteralPath $file) {
        if ((Get-FileSha256 $file) -eq $Download.sha256) { return }
        Remove-Item -LiteralPath $file -Force
    }
    for ($try = 1; ; $try++) {
        try { Receive-File $Download.url "$file.part" $Download.size; break }
        catch [Net.WebException], [IO.IOException] {
            if (Test-DiskFull $_.Exception) {
                if (Test-Path -LiteralPath "$file.part") { Remove-Item -LiteralPath "$file.part" -Force }
                throw
            }
            $answer = Get-WebAnswer $_.Exception
            if ($try -ge 3 -or $answer -match '^4\d\d ') {
                throw "$($Download.url) could not be downloaded: $answer. Check this host's way to it (downloads.proxy in the inventory), or put a mirror's URL into a site catalog"
            }
            Write-Event warning @{ text = "download interrupted ($answer); going on" }
            [Threading.Thread]::Sleep(1000 * $try)
        }
    }
    $is = Get-FileSha256 "$file.part"
    if ($is -ne $Download.sha256) {
        $size = (Get-Item -LiteralPath "$file.part").Length
        Remove-Item -LiteralPath "$file.part" -Force
        throw "$($Download.url) is not the file of the catalog: SHA-256 $is ($size bytes) instead of $($Download.sha256). Nothing of it was used. A proxy's page, or a changed file: compare with the publisher before you change the catalog"
    }
    Move-Item -LiteralPath "$file.part" -Destination $file -Force
}

# Goes on where an earlier try ended; a server that sends the whole file again is heard from the start.
function Receive-File([string]$Url, [string]$File, $Size) {
    $have = 0
    if (Test-Path -LiteralPath $File) { $have = (Get-Item -LiteralPath $File).Length }
    $request = [Net.WebRequest]::Create($Url)
    $request.Timeout = 60000
    $request.ReadWriteTimeout = 60000
    $request.UserAgent = 'nbserver'
    if ($Settings.downloads.proxy) { $request.Proxy = New-Object Net.WebProxy $Settings.downloads.proxy }
    if ($have) { $request.AddRange([long]$have) }
    try { $response = $request.GetResponse() }
    catch [Net.WebException] {
        if ((Get-WebAnswer $_.Exception) -notmatch '^416 ') { throw }
        return   # nothing behind what is here: complete, or wrong; the hash tells
    }
    try {
        $mode = 'Append'
        if ([int]$response.StatusCode -ne 206) { $mode = 'Create'; $have = 0 }
        $end = $have + $response.ContentLength
        $total = $Size
        if (-not $total -and $response.ContentLength -gt 0) { $total = $end }
        $in = $response.GetResponseStream()
        $out = [IO.File]::Open($File, $mode, 'Write', 'Read')
        try {
            $buffer = New-Object byte[] 1048576
            $told = [DateTime]::UtcNow
            while (($count = $in.Read($buffer, 0, $buffer.Length)) -gt 0) {
                $out.Write($buffer, 0, $count)
                $have += $count
                if (([DateTime]::UtcNow - $told).TotalSeconds -ge 1) {
                    $told = [DateTime]::UtcNow
                    Write-Event progress @{ what = (Split-Path -Leaf $Url); done = $have; total = $total; unit = 'bytes' }
                }
            }
        }
        finally { $out.Close() }
        if ($response.ContentLength -gt 0 -and $have -lt $end) { throw (New-Object IO.IOException 'the connection ended early') }
    }
    finally { $response.Close() }
}

# The status code where there was an answer, else the exception's own words. A host whose clock is wrong
# trusts no certificate, and Windows' words do not say so.
function Get-WebAnswer($Exception) {
    while ($Exception.InnerException -and -not ($Exception -is [Net.WebException])) { $Exception = $Exception.InnerException }
    if ($Exception -is [Net.WebException] -and $Exception.Response) { return '{0} {1}' -f [int]$Exception.Response.StatusCode, $Exception.Response.StatusCode }
    for ($one = $Exception; $one; $one = $one.InnerException) {
        if ($one -is [Security.Authentication.AuthenticationException]) {
            return "$($one.Message) (this host's clock says $([DateTime]::UtcNow.ToString('u')): with a wrong one every certificate is refused)"
        }
    }
    $Exception.Message
}

# Unpacks a download into a folder of its own: under another name first, so that the folder is complete
# whenever it is there.
function Expand-Download($Download, [string]$Folder) {
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    if (Test-Path -LiteralPath "$Folder.new") { Remove-Folder "$Folder.new" }
    Write-Event progress @{ what = "unpacking $(Split-Path -Leaf $Folder)" }
    Save-Before 'folder' $Folder $null
    try { [IO.Compression.ZipFile]::ExtractToDirectory((Get-CachedFile $Download), "$Folder.new") }
    catch { Remove-Folder "$Folder.new"; throw }   # half of it would keep a full disk full
    [IO.Directory]::Move("$Folder.new", $Folder)
}
