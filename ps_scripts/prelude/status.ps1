# ---- prelude: status -------------------------------------------------------------------------------
# Report the server, its versions, its certificate, and the last run: mode status.

# Nothing is changed, and nothing is left on this host. What differs from the settings is reported as in a test.

$UtcFormat = "yyyy-MM-dd'T'HH:mm:ss'Z'"

function Format-UtcTime([DateTime]$Time) {
    $Time.ToUniversalTime().ToString($UtcFormat, [Globalization.CultureInfo]::InvariantCulture)
}

# The function Get-ServiceStatus is part of each scope.
function Write-Status {
    Write-Event status @{
        service = Get-ServiceStatus; limits = $null; versions = Get-VersionStatus; certificate = Get-CertificateStatus
        previous = Get-PreviousStatus; record = @(Read-Record).Count; last = Get-LastRun
    }
}

# ---- versions, which are read from files: no program is started

$ReportedPackages = 'notebook', 'jupyter_server', 'numpy', 'matplotlib', 'tornado', 'pyzmq'

# Return the versions by name. A file pyvenv.cfg names the Python that its environment uses.
function Get-VersionStatus {
    $versions = @{}
    $environment = Get-ServerEnvironment
    $file = Join-Path $environment 'pyvenv.cfg'
    if (-not (Test-Path -LiteralPath $file)) { return $versions }
    foreach ($line in [IO.File]::ReadAllLines($file, $Utf8)) {
        if ($line -cmatch '\Aversion(_info)? = ([0-9]+\.[0-9]+\.[0-9]+)') { $versions.python = $Matches[2] }
        if ($line -cmatch '\Ahome = (.+)\z') { $openssl = Get-LibraryVersion $Matches[1] }
    }
    if ($openssl) { $versions.openssl = $openssl }
    $packages = Join-Path $environment 'Lib\site-packages'
    if (-not (Test-Path -LiteralPath $packages)) { return $versions }
    foreach ($folder in [IO.Directory]::GetDirectories($packages, '*.dist-info')) {
        if ((Split-Path -Leaf $folder) -cnotmatch '\A(.+)-([0-9A-Za-z.+!]{1,64})\.dist-info\z') { continue }
        $version = $Matches[2]
        $name = ($Matches[1] -replace '[-_.]+', '_').ToLowerInvariant()
        if ($ReportedPackages -contains $name) { $versions[$name] = $version }
    }
    $versions
}

# Return the version of the OpenSSL that a Python contains, or nothing.
function Get-LibraryVersion([string]$Python) {
    $folder = Join-Path $Python 'DLLs'
    if (-not (Test-Path -LiteralPath $folder)) { return }
    foreach ($library in Get-ChildItem -LiteralPath $folder -Filter 'libcrypto-*.dll') {
        $file = [Diagnostics.FileVersionInfo]::GetVersionInfo($library.FullName)
        if ($file.FileMajorPart) { "$($file.FileMajorPart).$($file.FileMinorPart).$($file.FileBuildPart)"; return }
    }
}

# ---- certificate

# Return whose certificate it is, and until when; or nothing if there is none.
function Get-CertificateStatus {
    $certificate = Get-ServerCertificate
    if (-not $certificate) { return }
    @{
        fingerprint = Get-Fingerprint $certificate; subject = [string]$certificate.Subject
        expires = Format-UtcTime $certificate.NotAfter
    }
}

# ---- the last run

# Return the run whose events were written last, other than this one, or nothing if there is none.
function Get-LastRun {
    $folder = Join-Path $StateFolder 'runs'
    if (-not (Test-Path -LiteralPath $folder)) { return }
    $runs = [IO.Directory]::GetDirectories($folder) | Where-Object { (Split-Path -Leaf $_) -cne $Run.Id }
    $files = foreach ($run in $runs) { [IO.FileInfo](Join-Path $run 'events.jsonl') }
    $file = $files | Where-Object { $_.Exists } | Sort-Object -Property LastWriteTimeUtc | Select-Object -Last 1
    if ($file) { Get-KeptRun $file.FullName }
}

# Return the run that left these events, or nothing if the first event is not that of a run. A run that has no last
# event was interrupted, unless it still has the lock.
function Get-KeptRun([string]$File) {
    $lines = @(Read-CompleteLine $File)
    if (-not $lines.Count) { return }
    $kept = @{ outcome = 'interrupted'; finished = '' }
    foreach ($name in 'run', 'mode', 'operator', 'release', 'script_sha256') { $kept[$name] = Get-Text $lines[0] $name }
    if (-not $kept.script_sha256) { return }
    $kept.started = Get-Text $lines[0] 'time'
    $end = $lines | Select-Object -Last 1
    if ($end.Contains('"event":"finished"')) {
        $kept.outcome = Get-Text $end 'outcome'
        $kept.finished = Get-Text $end 'time'
    }
    elseif ((Get-LockOwner) -cmatch "^run $([regex]::Escape($kept.run)),") { $kept.outcome = 'running' }
    $kept
}

# Return a text of an event, or '' if there is none. In a text, a quotation mark follows a backslash. The line is not
# parsed as a whole, because some versions of PowerShell make dates of texts.
function Get-Text([string]$Line, [string]$Name) {
    $found = [regex]::Match($Line, "`"$Name`":(`"(?:[^`"\\]|\\.)*`")")
    if (-not $found.Success) { return '' }
    $text = $found.Groups[1].Value
    if ($text.Contains('\')) {
        try { return [string](ConvertFrom-Json "{`"text`":$text}").text }
        catch { return '' }   # a damaged file must not prevent runs
    }
    $text.Substring(1, $text.Length - 2)
}

# ---- a newer release

# From two workstations with different releases, each run would reverse what the other one has changed.
Add-Hook Begun {
    if ('test', 'apply' -notcontains $Run.Mode) { return }
    $last = Get-LastRun
    if (-not $last -or (Get-ReleaseVersion $last.release) -le (Get-ReleaseVersion $Settings.release)) { return }
    Write-Notice warning release-older ('release {newer} of nbserver made the last change to this host, ' +
        'but this script is from release {own}, which may install older packages. Upgrade nbserver on this ' +
        'workstation, then try again') @{ newer = $last.release; own = $Settings.release }
}

# Return a version that can be compared; the lowest one if the release is not known.
function Get-ReleaseVersion([string]$Release) {
    if ($Release -cmatch '\A[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}') { [version]$Matches[0] } else { [version]'0.0.0' }
}

$Modes.status = {
    Write-Status
    Assert-RotationComplete
    Invoke-Plan
}
