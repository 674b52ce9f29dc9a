# ---- prelude: download_checks ----------------------------------------------------------------------
# Check in mode check whether this host can reach what the script would download.

# The certificates of these hosts come from one of these authorities, unless something inspects TLS on the way.
$PublicHosts = 'www.python.org', 'github.com', 'download.visualstudio.microsoft.com', 'slproweb.com'
$PublicAuthorities = 'Let''s Encrypt', 'GlobalSign', 'DigiCert', 'Google Trust Services', 'Amazon', 'Sectigo',
'Certainly', 'ISRG', 'SSL.com', 'Microsoft'

Add-Hook Check { Write-DownloadFinding }

# Only what is neither installed nor in the cache is downloaded.
function Write-DownloadFinding {
    foreach ($step in @($Steps | Where-Object { $_.Name -eq 'tls' })) {
        Assert-Requirement download_tls {
            Set-Found tls-1-2 'downloads can use TLS 1.2'
            Invoke-Test $step
        }
    }
    if (Test-Push) { return }
    foreach ($program in 'python', 'openssl', 'vc_redist') {
        $download = Get-Setting $program
        if (-not $download -or (Test-DownloadDone $program $download)) { continue }
        Assert-Requirement "download_$program" { Assert-SourceAnswer $program }
    }
    if (Test-Path -LiteralPath (Get-EnvironmentFolder)) { return }
    if (Test-Mirror) { Assert-Requirement package_index { Assert-UrlAnswer (Get-MirrorPage) }; return }
    $index = $Settings.packages.index_url
    if (-not $index) { Assert-Requirement package_index { Write-DefaultIndex }; return }
    $package = ([string]@($Lock)[0]) -creplace '[=\[ ].*\z', ''
    Assert-Requirement package_index { Assert-UrlAnswer "$($index.TrimEnd('/'))/$package/" }
}

function Write-DefaultIndex {
    Write-Finding unknown (New-Failure default-index-not-checked ('this script does not specify a package index, so ' +
            'pip and uv use their default one, which was not checked. To check a specific index, set ' +
            'packages.index_url in the inventory'))
}

function Get-Setting([string]$Name) {
    $setting = $Settings.PSObject.Properties[$Name]
    if ($setting) { $setting.Value }
}

function Test-DownloadDone([string]$Name, $Download) {
    $program = $null
    switch ($Name) {
        'python' { $program = Get-Python }
        'openssl' { $program = Get-OpenSsl }
    }
    (Test-Path -LiteralPath (Get-CachedFile $Download)) -or ($program -and (Test-Path -LiteralPath $program))
}

function Assert-UrlAnswer([string]$Url) {
    $begin = [DateTime]::UtcNow
    try { $answer = Get-UrlAnswer $Url }
    catch {
        throw (New-Failure url-refuses-or-silent ('{url} cannot be downloaded: {cause}. Check this host''s network ' +
                'connection and downloads.proxy in the inventory, or add a mirror URL to a site catalog') @{
                url = $Url
            } -Cause (Get-WebFailure $_.Exception))
    }
    $seconds = [string][Math]::Round(([DateTime]::UtcNow - $begin).TotalSeconds, 1)
    Set-Found url-answers '{url} responded with status {status} after {seconds} s' @{
        url = $Url; status = [string]$answer.Status; seconds = $seconds
    }
    Write-Inspection ([Uri]$Url).Host $answer.Issuer
}

# Ask for the headers only. Some servers refuse that: they are asked for one byte.
function Get-UrlAnswer([string]$Url) {
    try { Send-UrlRequest $Url 'HEAD' }
    catch {
        if (403, 405, 501 -notcontains (Get-HttpStatus $_.Exception)) { throw }
        Send-UrlRequest $Url 'GET'
    }
}

# Only .NET Framework keeps the certificate of the connection.
function Send-UrlRequest([string]$Url, [string]$Method) {
    $request = New-WebRequest $Url 0
    $index = $Settings.packages.index_url
    if ($index -and $Url.StartsWith($index.TrimEnd('/'), [StringComparison]::Ordinal)) {
        $request.Credentials = Get-Login 'packages.index_login'
    }
    $request.Timeout = 20000
    $request.Method = $Method
    if ($Method -eq 'GET') { $request.AddRange(0, 0) }
    $response = $request.GetResponse()
    $status = [int]$response.StatusCode
    $response.Close()
    $issuer = ''
    if ($request.ServicePoint.Certificate) { $issuer = $request.ServicePoint.Certificate.Issuer }
    @{ Status = $status; Issuer = $issuer }
}

function Write-Inspection([string]$Server, [string]$Issuer) {
    if (-not $Issuer -or $PublicHosts -notcontains $Server) { return }
    foreach ($authority in $PublicAuthorities) {
        if ($Issuer.IndexOf($authority, [StringComparison]::Ordinal) -ge 0) { return }
    }
    Write-Notice warning tls-inspected ('the certificate for {host} was issued by {issuer}, which is not one of the ' +
        'public authorities expected for {host}. A proxy between this host and {host} may be inspecting TLS. The ' +
        'hashes in the lock still determine what is installed') @{ host = $Server; issuer = $Issuer }
}
