# ---- prelude: program_checks -----------------------------------------------------------------------
# Find out in mode check whether this host can download the programs that it needs.

Add-Hook Check { Write-ProgramFinding }

# Only what is neither installed nor in the cache is downloaded.
function Write-ProgramFinding {
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

# Make sure that a file can be downloaded. Some servers refuse to send the headers only: they are asked for one byte.
function Assert-UrlAnswer([string]$Url) {
    $answer = Receive-Answer $Url 'HEAD'
    if ($answer.Type -cnotmatch '\Atext/html') { return }
    throw (New-Failure url-is-page ('{url} returned a web page instead of a file. Open the URL in a browser on this ' +
            'host. If the page is a login page or a proxy error, log in or correct downloads.proxy in the inventory; ' +
            'otherwise, correct the URL in the site catalog') @{ url = $Url })
}
