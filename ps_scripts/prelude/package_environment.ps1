# ---- prelude: package_environment ------------------------------------------------------------------
# Choose the environment variables of pip and uv.

# The options of pip that are used (only in user scope), and whether wheels from elsewhere replace any index.
$PackageSource = @{ Used = @(); NoIndex = $false }

# Return the names of the settings that decide where packages come from, for a message.
function Get-SourceSetting {
    $names = 'packages.index_url, downloads.proxy'
    if (Test-Mirror) { $names = 'downloads.mirror, downloads.proxy' }
    if (Test-Push) { $names = 'downloads.bundle' }
    if ($PackageSource.Used) { $names += ", pip $($PackageSource.Used -join ' ')" }
    $names
}

# Return variables for Invoke-Program, which removes those with the value $null. Configuration files and variables of
# pip and uv are turned off, because they could change what is installed, or where. Set-PackageConfiguration adds what
# is used of them. Python ignores PYTHONUTF8 with -I, so it also gets -X utf8: what it prints must not depend on the
# code page of the host.
function Get-PackageEnvironment {
    $environment = @{}
    foreach ($name in [Environment]::GetEnvironmentVariables().Keys) {
        if ($name.ToUpperInvariant() -cmatch '^(PIP|UV)_') { $environment[$name] = $null }
    }
    foreach ($name in 'PYTHONUTF8', 'PIP_NO_INPUT', 'PIP_DISABLE_PIP_VERSION_CHECK', 'UV_NO_PROGRESS', 'UV_NO_CONFIG') {
        $environment[$name] = '1'
    }
    $environment.PIP_CONFIG_FILE = 'nul'   # in lower case: pip compares it with Python's name of the null device
    Set-HostAuthority $environment
    Set-PackageConfiguration $environment
    if ($Settings.downloads.proxy) {
        $environment.HTTP_PROXY = Get-AddressWithLogin $Settings.downloads.proxy 'downloads.proxy_login'
        $environment.HTTPS_PROXY = $environment.HTTP_PROXY
    }
    if (Test-Mirror) { Set-WheelSource $environment (Get-MirrorPage) }
    elseif (Test-Push) { Set-WheelSource $environment (Get-DeliveredAddress) }
    elseif ($Settings.packages.index_url) {
        $environment.PIP_INDEX_URL = Get-AddressWithLogin $Settings.packages.index_url 'packages.index_login'
        $environment.UV_DEFAULT_INDEX = $environment.PIP_INDEX_URL
    }
    $environment
}

function Test-Mirror { $Settings.downloads.source -eq 'mirror' }

# Return the folder as a URL: pip would divide a path at its spaces, and uv at its commas.
function Get-DeliveredAddress { ([Uri]$DeliveredFolder).AbsoluteUri.Replace(',', '%2C') }

function Get-MirrorPage { "$($Settings.downloads.mirror)/wheels.html" }

# The page of a mirror, or the folder of the delivered files, replaces every index.
function Set-WheelSource([hashtable]$Environment, [string]$Address) {
    $Environment.PIP_FIND_LINKS = $Address
    $Environment.UV_FIND_LINKS = $Address
    $PackageSource.NoIndex = $true
}

# Return the URL with the login of this name, if the envelope has one. Only variables of programs may have it, because
# everybody can read arguments.
function Get-AddressWithLogin([string]$Address, [string]$Name) {
    if (-not $Secrets.ContainsKey($Name)) { return $Address }
    $begin = $Address.IndexOf('://', [StringComparison]::Ordinal) + 3
    $Address.Insert($begin, '@').Insert($begin, $Secrets[$Name])
}

# pip and uv trust the authorities that Windows trusts, such as that of a company's proxy. pip 24.2 and newer do so
# with Python 3.10 and newer; from 23.3 on, they can (https://pip.pypa.io/en/stable/topics/https-certificates/).
function Set-HostAuthority([hashtable]$Environment) {
    $Environment.UV_SYSTEM_CERTS = '1'
    $library = Join-Path (Split-Path -Parent (Get-Python)) 'Lib\site-packages\pip\_vendor\truststore'
    if ([version]$Settings.python.version -ge [version]'3.10' -and (Test-Path -LiteralPath $library)) {
        $Environment.PIP_USE_FEATURE = 'truststore'
    }
}
