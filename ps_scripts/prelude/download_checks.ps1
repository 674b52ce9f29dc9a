# ---- prelude: download_checks ----------------------------------------------------------------------
# Find out in mode check whether this host can reach the package index or the mirror.

# The certificates of these hosts come from one of these authorities, unless something inspects TLS on the way.
$PublicHosts = 'www.python.org', 'github.com', 'download.visualstudio.microsoft.com', 'slproweb.com'
$PublicAuthorities = 'Let''s Encrypt', 'GlobalSign', 'DigiCert', 'Google Trust Services', 'Amazon', 'Sectigo',
'Certainly', 'ISRG', 'SSL.com', 'Microsoft'

$LongestPage = 8000000                           # bytes that are read of a page, and for how many seconds
$PageSeconds = 20

Add-Hook Check { Write-IndexFinding }

# Only what is not installed yet is downloaded. The first package of the lock is in every index that has the others.
function Write-IndexFinding {
    if ((Test-Push) -or (Test-Path -LiteralPath (Get-EnvironmentFolder))) { return }
    $name, $version = (([string]@($Lock)[0]) -split ' ')[0] -split '==', 2
    $package = Get-PackageKey ($name -creplace '\[.*\z', '')
    $index = $Settings.packages.index_url
    if (Test-Mirror) { $url = Get-MirrorPage }
    elseif ($index) { $url = "$($index.TrimEnd('/'))/$package/" }
    else { Assert-Requirement package_index { Write-DefaultIndex }; return }
    Assert-Requirement package_index { Assert-PageAnswer $url $package $version }
}

function Write-DefaultIndex {
    Write-Finding unknown (New-Failure default-index-not-checked ('this script does not specify a package index, so ' +
            'pip and uv use their default index, which was not checked. To check a specific index, set ' +
            'packages.index_url in the inventory'))
}

# Make sure that a page of an index or a mirror has a link to a wheel: a login page of the network has none.
function Assert-PageAnswer {
    param([string]$Url, [string]$Package, [string]$Version)
    $answer = Receive-Answer $Url 'GET'
    $wheel = $Package.Replace('-', '[-_.]+') + '-' + [regex]::Escape(($Version -split '\+')[0]) + '[-+%]'
    if ($answer.Text.ToLowerInvariant() -cmatch $wheel.ToLowerInvariant()) { return }
    if (-not $answer.Whole) {
        Write-Finding unknown (New-Failure page-read-in-part ('only part of the page {url} was read ({bytes} bytes ' +
                'in {seconds} s), and this part has no link to {package} {version}. Open the URL in a browser on ' +
                'this host: it must be a page of the package index or the mirror, not a login page') @{
                url = $Url; bytes = $answer.Bytes; seconds = $answer.Seconds; package = $Package; version = $Version
            })
        return
    }
    throw (New-Failure page-without-package ('the page {url} has no link to {package} {version}. Open the URL in a ' +
            'browser on this host. If it shows the package index or the mirror, add the package to it; otherwise, ' +
            'correct packages.index_url, downloads.mirror, or downloads.proxy in the inventory') @{
            url = $Url; package = $Package; version = $Version
        })
}

function Receive-Answer([string]$Url, [string]$Method) {
    Enable-Tls12
    $time = [Diagnostics.Stopwatch]::StartNew()
    try { $answer = Get-UrlAnswer $Url $Method }
    catch {
        throw (New-Failure url-refuses-or-silent ('{url} cannot be downloaded: {cause}. Check this host''s network ' +
                'connection and downloads.proxy in the inventory, or add a mirror URL to a site catalog') @{
                url = $Url
            } -Cause (Get-WebFailure $_.Exception))
    }
    $seconds = [string][Math]::Round($time.Elapsed.TotalSeconds, 1)
    Set-Found url-answers '{url} responded with HTTP status {status} after {seconds} s' @{
        url = $Url; status = [string]$answer.Status; seconds = $seconds
    }
    Write-Inspection ([Uri]$Url).Host $answer.Issuer
    $answer
}

function Get-UrlAnswer([string]$Url, [string]$Method) {
    try { Send-UrlRequest $Url $Method }
    catch {
        if ($Method -ne 'HEAD' -or 403, 405, 501 -notcontains (Get-HttpStatus $_.Exception)) { throw }
        Send-UrlRequest $Url 'GET' -OneByte
    }
}

# Only .NET Framework keeps the certificate of the connection.
function Send-UrlRequest {
    param([string]$Url, [string]$Method, [switch]$OneByte)
    $request = New-WebRequest $Url 0
    $index = $Settings.packages.index_url
    if ($index -and $Url.StartsWith($index.TrimEnd('/'), [StringComparison]::Ordinal)) {
        $request.Credentials = Get-Login 'packages.index_login'
    }
    $request.Timeout = 20000
    $request.ReadWriteTimeout = 20000
    $request.Method = $Method
    if ($OneByte) { $request.AddRange(0, 0) }
    $response = $request.GetResponse()
    try {
        $answer = @{ Status = [int]$response.StatusCode; Type = $response.ContentType; Issuer = ''; Text = '' }
        if ($Method -eq 'GET' -and -not $OneByte) { Read-Page $response.GetResponseStream() $answer }
    }
    finally { $request.Abort() }                 # a server may send without end; Close could wait for it
    if ($request.ServicePoint.Certificate) { $answer.Issuer = $request.ServicePoint.Certificate.Issuer }
    $answer
}

function Read-Page([IO.Stream]$Stream, [hashtable]$Answer) {
    $bytes = New-Object byte[] $LongestPage
    $Answer.Bytes = 0
    $Answer.Whole = $false
    $time = [Diagnostics.Stopwatch]::StartNew()
    while ($Answer.Bytes -lt $bytes.Length -and $time.Elapsed.TotalSeconds -lt $PageSeconds -and -not $Answer.Whole) {
        $size = $Stream.Read($bytes, $Answer.Bytes, $bytes.Length - $Answer.Bytes)
        $Answer.Bytes += $size
        $Answer.Whole = -not $size
    }
    $Answer.Seconds = [int]$time.Elapsed.TotalSeconds
    $Answer.Text = $Utf8.GetString($bytes, 0, $Answer.Bytes)
}

function Write-Inspection([string]$Server, [string]$Issuer) {
    if (-not $Issuer -or $PublicHosts -notcontains $Server) { return }
    foreach ($authority in $PublicAuthorities) {
        if ($Issuer.IndexOf($authority, [StringComparison]::Ordinal) -ge 0) { return }
    }
    Write-Notice warning tls-inspected ('the certificate for {host} was issued by {issuer}, which is not one of the ' +
        'public authorities expected for {host}. A proxy between this host and {host} may be inspecting TLS. Each ' +
        'package is still checked against its hash in the lock') @{ host = $Server; issuer = $Issuer }
}
