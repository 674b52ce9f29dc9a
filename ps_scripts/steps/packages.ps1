# ---- step: packages ------------------------------------------------------------------------------------
# NumPy, Matplotlib, Tornado, pyzmq, IPython, ipykernel and notebook with all they need, in a virtual
# environment, exactly as the lock says: wheels only, each with its hash. uv installs them where it runs
# (Windows 10, Server 2016 and later), pip elsewhere. uv itself comes from the lock too.
# The folder is named after Python's version and the lock: where one of them is another, another environment
# is made beside the one in use.

function Get-EnvironmentFolder { Join-Path $Programs "env-$($Settings.python.version)-$($Settings.packages.lock_sha256.Substring(0, 8))" }

function Get-EnvironmentProgram([string]$Name) { Join-Path (Get-EnvironmentFolder) "Scripts\$Name" }

# Written when everything is installed: an environment without it is unfinished.
function Get-LockMark { Join-Path (Get-EnvironmentFolder) 'nbserver.lock' }

function Get-PackageInstaller {
    if ($Settings.packages.installer -ne 'auto') { $Settings.packages.installer }
    elseif ([Environment]::OSVersion.Version.Major -ge 10) { 'uv' }
    else { 'pip' }
}

# What Python's tools need to know of this host. Other configuration of theirs is not used: its files are
# switched off, and its variables are taken away ($null). -I ignores PYTHONUTF8, so Python gets -X utf8 too:
# what it prints must not depend on the host's code page.
function Get-PackageEnvironment {
    $environment = @{}
    foreach ($name in [Environment]::GetEnvironmentVariables().Keys) { if ($name.ToUpperInvariant() -cmatch '^(PIP|UV)_') { $environment[$name] = $null } }
    foreach ($name in 'PYTHONUTF8', 'PIP_NO_INPUT', 'PIP_DISABLE_PIP_VERSION_CHECK', 'UV_NO_CONFIG', 'UV_NO_PROGRESS') { $environment[$name] = '1' }
    $environment.PIP_CONFIG_FILE = 'NUL'
    if ($Settings.downloads.proxy) { $environment.HTTP_PROXY = $Settings.downloads.proxy; $environment.HTTPS_PROXY = $Settings.downloads.proxy }
    $environment
}

Step packages 'the packages of the lock are installed in a virtual environment' -Test {
    $packages = Join-Path (Get-EnvironmentFolder) 'Lib\site-packages'
    if (-not (Test-Path -LiteralPath (Get-LockMark))) { Difference 'packages' $null (Get-EnvironmentFolder); return }
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
    if (Test-Path -LiteralPath $folder) { Remove-Item -LiteralPath $folder -Recurse -Force }
    Save-Before 'folder' $folder $null

    if ((Get-PackageInstaller) -eq 'uv') {
        $tools = Join-Path $CacheFolder 'tools'
        $uvLock = Join-Path $CacheFolder 'uv-lock.txt'
        Write-TextFile $uvLock ((@($Lock | Where-Object { $_ -cmatch '^uv==' }) -join "`n") + "`n")
        Write-Event progress @{ what = 'fetching uv' }
        Invoke-Program (Get-Python) (@('-I', '-X', 'utf8', '-m', 'pip', 'install', '--target', $tools, '--upgrade', '--no-cache-dir', '-r', $uvLock) + $only + $index) $environment -Todo $todo
        Write-Event progress @{ what = 'making the virtual environment' }
        Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'venv', '--without-pip', $folder) $environment
        Write-Event progress @{ what = 'installing packages with uv'; total = $Lock.Count; unit = 'packages' }
        Invoke-Program (Join-Path $tools 'bin\uv.exe') (@('pip', 'install', '--python', (Get-EnvironmentProgram 'python.exe'), '--no-cache', '--link-mode', 'copy', '--compile-bytecode', '-r', $lockFile) + $only + $index) $environment -Todo $todo
    }
    else {
        Write-Event progress @{ what = 'making the virtual environment' }
        Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'venv', $folder) $environment
        Write-Event progress @{ what = 'installing packages with pip'; total = $Lock.Count; unit = 'packages' }
        Invoke-Program (Get-EnvironmentProgram 'python.exe') (@('-I', '-X', 'utf8', '-m', 'pip', 'install', '--no-cache-dir', '-r', $lockFile) + $only + $index) $environment -Todo $todo
    }
    Write-TextFile (Get-LockMark) "$($Settings.packages.lock_sha256)`n"
}
