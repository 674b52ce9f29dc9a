# ---- prelude: downloads ----------------------------------------------------------------------------
# Download files into the cache, and check their hashes before they are used.

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

# Try three times. An answer that the request was wrong (status 4xx) stays the same, so it is not repeated.
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
        if ($try -ge 3 -or ($status -ge 400 -and $status -lt 500)) {
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
            'Before you change the catalog, compare the hash with the one that the publisher lists') @{
            url = $Download.url; expected = $Download.sha256; actual = $actual; size = $size
        })
}

# Return the login of this name, or $null if the envelope has none.
function Get-Login([string]$Name) {
    if (-not $Secrets.ContainsKey($Name)) { return }
    $found = [regex]::Match($Secrets[$Name], '\A([^:]*):(.*)\z')
    $login = New-Object Net.NetworkCredential
    $login.UserName = [Uri]::UnescapeDataString($found.Groups[1].Value)
    $login.Password = [Uri]::UnescapeDataString($found.Groups[2].Value)
    $login
}

function New-WebRequest([string]$Url, [long]$From) {
    $request = [Net.WebRequest]::Create($Url)
    $request.Timeout = 60000
    $request.ReadWriteTimeout = 60000
    $request.UserAgent = 'nbserver'
    if ($Settings.downloads.proxy) {
        $request.Proxy = New-Object Net.WebProxy $Settings.downloads.proxy
        $request.Proxy.Credentials = Get-Login 'downloads.proxy_login'
    }
    if ($From) { $request.AddRange($From) }
    $request
}

# Continue an earlier attempt: ask only for the bytes that are missing. Status 206 is the answer with these bytes, any
# other answer has the whole file. Status 416 means that there are no more bytes: the file is complete, or its hash is
# wrong. Return a failure if the connection was closed too early.
function Receive-File {
    param([string]$Url, [string]$File, $Size)
    $done = 0
    if (Test-Path -LiteralPath $File) { $done = (Get-Item -LiteralPath $File).Length }
    try { $response = (New-WebRequest $Url $done).GetResponse() }
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
    finally { $response.Close() }
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
    $reported = [DateTime]::UtcNow
    while (($count = $in.Read($buffer, 0, $buffer.Length)) -gt 0) {
        $Out.Write($buffer, 0, $count)
        $Done += $count
        if (([DateTime]::UtcNow - $reported).TotalSeconds -lt 1) { continue }
        $reported = [DateTime]::UtcNow
        Write-StepProgress downloading 'Downloading {file}' @{ file = $name } -Done $Done -Total $total -Unit bytes
    }
    if ($length -gt 0 -and $Done -lt $end) {
        New-Failure connection-closed 'the connection was closed after {done} of {total} bytes' @{
            done = $Done; total = $end
        }
    }
}

# Return the WebException in an exception: PowerShell wraps what a method throws. Without one, return the innermost.
function Get-WebException([Exception]$Exception) {
    while ($Exception.InnerException -and -not ($Exception -is [Net.WebException])) {
        $Exception = $Exception.InnerException
    }
    $Exception
}

# Return the status of the answer; 0 if there was none.
function Get-HttpStatus([Exception]$Exception) {
    $inner = Get-WebException $Exception
    if ($inner -is [Net.WebException] -and $inner.Response) { [int]$inner.Response.StatusCode } else { 0 }
}

# Return why a request failed. If the clock of a host is wrong, it trusts no certificate; Windows does not mention it.
function Get-WebFailure([Exception]$Exception) {
    $status = Get-HttpStatus $Exception
    $web = Get-WebException $Exception
    if ($status) {
        return New-Failure http-status 'the server responded with HTTP status {status} ({description})' @{
            status = $status; description = [string]$web.Response.StatusCode
        }
    }
    for ($inner = $web; $inner; $inner = $inner.InnerException) {
        if ($inner -is [Security.Authentication.AuthenticationException]) {
            return New-Failure tls-certificate-refused ('{error} (the clock on this host shows {time}; if that time ' +
                'is wrong, correct the clock)') @{
                error = $inner.Message; time = [DateTime]::UtcNow.ToString('u')
            }
        }
    }
    New-Failure no-answer '{error}' @{ error = $web.Message }
}

# Unpack a download into its own folder. It has the suffix .new until it is complete.
function Expand-Download($Download, [string]$Folder) {
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    if (Test-Path -LiteralPath "$Folder.new") { Remove-Folder "$Folder.new" }
    Write-StepProgress unpacking 'Unpacking {folder}' @{ folder = Split-Path -Leaf $Folder }
    Save-Before 'folder' $Folder $null
    try { [IO.Compression.ZipFile]::ExtractToDirectory((Get-CachedFile $Download), "$Folder.new") }
    catch {
        Remove-Folder "$Folder.new"              # a part of it would keep a full disk full
        throw
    }
    Invoke-FileChange 'move-folder' "$Folder.new" $Folder
}
