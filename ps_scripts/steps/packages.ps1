# ---- step: packages ------------------------------------------------------------------------------------
# NumPy, Matplotlib, Tornado, pyzmq, IPython, ipykernel and notebook with all they need, in a virtual
# environment, exactly as the lock says: wheels only, each with its hash. uv installs them where it runs
# (Windows 10, Server 2016 and later), pip elsewhere. uv itself comes from the lock too.
# The folder is named after Python's version and the lock: where one of them is another, another environment
# is made beside the one in use.

function Get-EnvironmentFolder { Join-Path $Programs "env-$($Settings.python.version)-$($Settings.packages.lock_sha256.Substring(0, 8))" }

function Get-EnvironmentProgram([string]$Name) { Join-Path (Get-EnvironmentFolder) "Scripts\$Name" }

# Written when everything is installed: an environment without it is unfinished. Of a Python that is not ours it
# has the path: the environment needs that one, also when nbserver is run by another.
function Get-LockMark { Join-Path (Get-EnvironmentFolder) 'nbserver.lock' }

function Get-LockMarkText {
    if ($Settings.python.kind -eq 'present') { "$($Settings.packages.lock_sha256)`n$(Get-Python)`n" } else { "$($Settings.packages.lock_sha256)`n" }
}

function Test-LockMark {
    if (-not (Test-Path -LiteralPath (Get-LockMark))) { return $false }
    $python = @([IO.File]::ReadAllLines((Get-LockMark), $Utf8) | Select-Object -Skip 1)
    -not $python.Count -or (Test-Path -LiteralPath $python[0])
}

function Get-PackageInstaller {
    if ($Settings.packages.installer -ne 'auto') { $Settings.packages.installer }
    elseif ([Environment]::OSVersion.Version.Major -ge 10) { 'uv' }
    else { 'pip' }
}

# What Python's tools need to know of this host. Other configuration of theirs is not used: its files are
# switched off, and its variables are taken away ($null). -I ignores PYTHONUTF8, so Python gets -X utf8 too:
# what it prints must not depend on the host's code page.
# In user scope the user's own configuration holds (index, proxy, authorities): what is installed is fixed by
# its hash, and where it is installed by this script.
function Get-PackageEnvironment {
    $environment = @{}
    if ($Settings.scope -eq 'user') { $environment.PIP_USER = '0'; $environment.PIP_REQUIRE_VIRTUALENV = '0' }
    else {
        foreach ($name in [Environment]::GetEnvironmentVariables().Keys) { if ($name.ToUpperInvariant() -cmatch '^(PIP|UV)_') { $environment[$name] = $null } }
        $environment.UV_NO_CONFIG = '1'
        $environment.PIP_CONFIG_FILE = 'nul'   # in small letters: pip compares it with Python's name of the device
    }
    foreach ($name in 'PYTHONUTF8', 'PIP_NO_INPUT', 'PIP_DISABLE_PIP_VERSION_CHECK', 'UV_NO_PROGRESS') { $environment[$name] = '1' }
    if ($Settings.downloads.proxy) { $environment.HTTP_PROXY = $Settings.downloads.proxy; $environment.HTTPS_PROXY = $Settings.downloads.proxy }
    $environment
}

# In user scope uv gets what the user's pip is configured for, which it does not read itself. pip tells it as
# PLACE.NAME='TEXT', the text as Python writes it. Of a name the environment counts most, then pip's section
# install, then global; of two such lines the later one, because some releases of pip list every file.
function Add-OwnPackageEnvironment([hashtable]$Environment) {
    if ($Settings.scope -ne 'user') { return }
    Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'pip', 'config', 'list') $Environment -Quiet
    $own = @{ 'index-url' = ''; 'extra-index-url' = ''; 'find-links' = ''; 'proxy' = ''; 'cert' = '' }
    $rank = @{}
    $ranks = @{ 'global' = 1; 'install' = 2; ':env:' = 3 }
    foreach ($line in $Run.Output) {
        if ($line -cnotmatch "^(global|install|:env:)\.([a-z-]+)='(.*)'`$") { continue }
        $place, $name, $given = $Matches[1], $Matches[2], $Matches[3]
        if (-not $own.ContainsKey($name) -or ($rank[$name] -and $ranks[$place] -lt $rank[$name])) { continue }
        $text = [regex]::Replace($given, '\\(.)', { param($match) if ($match.Groups[1].Value -ceq 'n') { ' ' } else { $match.Groups[1].Value } })
        $own[$name] = $text.Trim()
        $rank[$name] = $ranks[$place]
    }
    if (-not $Settings.packages.index_url) {
        if ($own['index-url']) { $Environment.UV_DEFAULT_INDEX = $own['index-url'] }
        if ($own['extra-index-url']) { $Environment.UV_INDEX = $own['extra-index-url']; $Environment.UV_INDEX_STRATEGY = 'unsafe-best-match' }
        if ($own['find-links']) { $Environment.UV_FIND_LINKS = $own['find-links'] -replace ' +', ',' }
    }
    if ($own['proxy'] -and -not $Settings.downloads.proxy) { $Environment.HTTP_PROXY = $own['proxy']; $Environment.HTTPS_PROXY = $own['proxy'] }
    if ($own['cert'] -and (Test-Path -LiteralPath $own['cert'])) { $Environment.SSL_CERT_FILE = $own['cert'] }
}

Add-Step packages 'the packages of the lock are installed in a virtual environment' -Test {
    $packages = Join-Path (Get-EnvironmentFolder) 'Lib\site-packages'
    if (-not (Test-LockMark)) { Difference 'packages' $null (Get-EnvironmentFolder); return }
    $installed = @{}
    foreach ($folder in [IO.Directory]::GetDirectories($packages, '*.dist-info')) {
        $installed[((Split-Path -Leaf $folder) -creplace '\.dist-info$', '' -replace '[-_.]+', '-').ToLowerInvariant()] = $true
    }
    foreach ($line in $Lock) {
        $name = ($line -split ' ')[0]
        $key = ($name -replace '==', '-' -replace '[-_.]+', '-').ToLowerInvariant()
        if (-not $installed[$key]) { Difference "package $(($name -split '==')[0])" $null ($name -split '==')[1] }
    }
} -Apply {
    $folder = Get-EnvironmentFolder
    $lockFile = Join-Path $CacheFolder 'lock.txt'
    $environment = Get-PackageEnvironment
    $index = @()
    if ($Settings.packages.index_url) { $index = '--index-url', $Settings.packages.index_url }
    $only = '--require-hashes', '--no-deps', '--only-binary', ':all:'
    $todo = 'If a package has no build for this Python: choose a python.version whose lock was made for it. If it could not be fetched: check packages.index_url and downloads.proxy in the inventory'

    Add-Folder $Programs
    Add-Folder $CacheFolder
    Write-TextFile $lockFile (($Lock -join "`n") + "`n")
    if (Test-Path -LiteralPath $folder) { Remove-Folder $folder }
    Save-Before 'folder' $folder $null

    if ((Get-PackageInstaller) -eq 'uv') {
        $tools = Join-Path $CacheFolder 'tools'
        $uvLock = Join-Path $CacheFolder 'uv-lock.txt'
        Write-TextFile $uvLock ((@($Lock | Where-Object { $_ -cmatch '^uv==' }) -join "`n") + "`n")
        Write-Event progress @{ what = 'fetching uv' }
        Invoke-Program (Get-Python) (@('-I', '-X', 'utf8', '-m', 'pip', 'install', '--target', $tools, '--upgrade', '--no-cache-dir', '-r', $uvLock) + $only + $index) $environment -Todo $todo
        Write-Event progress @{ what = 'making the virtual environment' }
        Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'venv', '--without-pip', $folder) $environment
        Add-OwnPackageEnvironment $environment
        Write-Event progress @{ what = 'installing packages with uv'; total = $Lock.Count; unit = 'packages' }
        Invoke-Program (Join-Path $tools 'bin\uv.exe') (@('pip', 'install', '--python', (Get-EnvironmentProgram 'python.exe'), '--no-cache', '--link-mode', 'copy', '--compile-bytecode', '-r', $lockFile) + $only + $index) $environment -Todo $todo
    }
    else {
        Write-Event progress @{ what = 'making the virtual environment' }
        Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'venv', $folder) $environment
        Write-Event progress @{ what = 'installing packages with pip'; total = $Lock.Count; unit = 'packages' }
        Invoke-Program (Get-EnvironmentProgram 'python.exe') (@('-I', '-X', 'utf8', '-m', 'pip', 'install', '--no-cache-dir', '-r', $lockFile) + $only + $index) $environment -Todo $todo
    }
    Write-TextFile (Get-LockMark) (Get-LockMarkText)
}
