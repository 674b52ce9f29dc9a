# ---- prelude: sources ------------------------------------------------------------------------------
# Download a program from one of several sources.

# An entry of the catalog may have other sources: other URLs, each with its own hash, and perhaps another version of the
# program. They are tried in order. The settings of the program are those of the source that is used.
$Sources = @{}
$SourceFailures = 'download-failed', 'download-wrong-hash'

Add-Hook BeforeRun {
    foreach ($name in 'python', 'openssl', 'vc_redist') {
        if (Get-Setting $name) { Select-Source $name }
    }
}

# Use the source that is installed, according to its file list; if there is none, the first one.
function Select-Source([string]$Name) {
    $all = @($Settings.$Name) + @($Settings.$Name.sources)
    $installed = @()
    if ($all.Count -gt 1) { $installed = @($all | Where-Object { Test-InstalledFrom "$Name-$($_.version)" $_.sha256 }) }
    $Settings.$Name = @($installed + $all)[0]
    $Sources[$Name] = @($Settings.$Name) + @($all | Where-Object { $_.sha256 -ne $Settings.$Name.sha256 })
}

# A workstation sends the file of one source, which may be any of them.
function Get-UsableSource([string]$Name) {
    $all = @($Sources[$Name])
    if (-not (Test-Push)) { return $all }
    $arrived = @($all | Where-Object { Test-DeliveredProgram $_ })
    @($arrived + $all)[0]
}

function Save-Program([string]$Name) {
    $left = @(Get-UsableSource $Name)
    $failure = $null
    while ($true) {
        $source, $left = $left
        if ($failure) { Write-NextSource $Name $source $failure }
        try { Save-Download $source }
        catch {
            $failure = ConvertTo-Failure $_.Exception
            if (-not $left -or $SourceFailures -notcontains $failure.Data['code']) { throw }
            continue
        }
        $Settings.$Name = $source
        if ($failure) { Write-SourceUsed $Name $source }
        return
    }
}

function Write-NextSource {
    param([string]$Name, $Source, [Exception]$Failure)
    Write-Notice warning next-source 'trying {url} for {program}, because the previous source failed: {reason}' @{
        reason = $Failure.Message; program = $Name; url = $Source.url
    }
}

function Write-SourceUsed([string]$Name, $Source) {
    Write-Notice log source-used '{program} {version} was downloaded from {url} (SHA-256 {sha256})' @{
        program = $Name; version = $Source.version; url = $Source.url; sha256 = $Source.sha256
    }
}

# Report whether a source answers: one is sufficient.
function Assert-SourceAnswer([string]$Name) {
    $left = @($Sources[$Name])
    while ($true) {
        $source, $left = $left
        try { return Assert-UrlAnswer $source.url }
        catch { if (-not $left) { throw } }
    }
}

# Return whether a file list is about a download with this hash.
function Test-InstalledFrom([string]$Name, [string]$Source) {
    $list = Get-FileList $Name
    (Test-Path -LiteralPath $list) -and @([IO.File]::ReadAllLines($list, $Utf8))[0] -eq $Source
}
