# ---- prelude: package_environment ------------------------------------------------------------------
# Choose the environment variables of pip and uv.

# In machine scope, no other configuration of pip and uv is used: its files are turned off, and its variables are
# removed. In user scope, the user's configuration (index, proxy, certificates) is used: the hashes in the lock
# determine what is installed, and this script determines where.

# Return variables for Invoke-Program, which removes those with the value $null. Python ignores PYTHONUTF8 with -I, so
# it also gets -X utf8: what it prints must not depend on the code page of the host.
function Get-PackageEnvironment {
    $environment = @{}
    if ($Settings.scope -eq 'user') {
        $environment.PIP_USER = '0'
        $environment.PIP_REQUIRE_VIRTUALENV = '0'
    }
    else {
        foreach ($name in [Environment]::GetEnvironmentVariables().Keys) {
            if ($name.ToUpperInvariant() -cmatch '^(PIP|UV)_') { $environment[$name] = $null }
        }
        $environment.UV_NO_CONFIG = '1'
        $environment.PIP_CONFIG_FILE = 'nul'   # in lower case: pip compares it with Python's name of the null device
    }
    foreach ($name in 'PYTHONUTF8', 'PIP_NO_INPUT', 'PIP_DISABLE_PIP_VERSION_CHECK', 'UV_NO_PROGRESS') {
        $environment[$name] = '1'
    }
    if ($Settings.downloads.proxy) { Set-ProxyVariable $environment $Settings.downloads.proxy }
    $environment
}

function Set-ProxyVariable([hashtable]$Environment, [string]$Proxy) {
    $Environment.HTTP_PROXY = $Proxy
    $Environment.HTTPS_PROXY = $Proxy
}

# In user scope, give uv the user's configuration of pip, which uv does not read. The inventory takes precedence.
function Add-OwnPackageEnvironment([hashtable]$Environment) {
    if ($Settings.scope -ne 'user') { return }
    Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'pip', 'config', 'list') $Environment -Quiet
    $pip = ConvertFrom-PipConfig $Run.Output
    if (-not $Settings.packages.index_url) {
        if ($pip['index-url']) { $Environment.UV_DEFAULT_INDEX = $pip['index-url'] }
        if ($pip['extra-index-url']) {
            $Environment.UV_INDEX = $pip['extra-index-url']
            $Environment.UV_INDEX_STRATEGY = 'unsafe-best-match'
        }
        if ($pip['find-links']) { $Environment.UV_FIND_LINKS = $pip['find-links'] -replace ' +', ',' }
    }
    if ($pip['proxy'] -and -not $Settings.downloads.proxy) { Set-ProxyVariable $Environment $pip['proxy'] }
    if ($pip['cert'] -and (Test-Path -LiteralPath $pip['cert'])) { $Environment.SSL_CERT_FILE = $pip['cert'] }
}

# Return name -> value from lines PLACE.NAME='TEXT', in which the text is a Python literal. For the same name, the
# environment takes precedence over the section install, and that over global; of two lines with the same place, the
# later one counts, because some releases of pip list every file.
function ConvertFrom-PipConfig([string[]]$Lines) {
    $values = @{ 'index-url' = ''; 'extra-index-url' = ''; 'find-links' = ''; 'proxy' = ''; 'cert' = '' }
    $rank = @{}
    $ranks = @{ 'global' = 1; 'install' = 2; ':env:' = 3 }
    foreach ($line in $Lines) {
        if ($line -cnotmatch "^(global|install|:env:)\.([a-z-]+)='(.*)'`$") { continue }
        $place, $name, $literal = $Matches[1], $Matches[2], $Matches[3]
        if (-not $values.ContainsKey($name) -or ($rank[$name] -and $ranks[$place] -lt $rank[$name])) { continue }
        $values[$name] = (ConvertFrom-PythonLiteral $literal).Trim()
        $rank[$name] = $ranks[$place]
    }
    $values
}

# Replace \n by a space, and \x by x for any other character.
function ConvertFrom-PythonLiteral([string]$Literal) {
    [regex]::Replace($Literal, '\\(.)', {
            param($match)
            if ($match.Groups[1].Value -ceq 'n') { ' ' } else { $match.Groups[1].Value }
        })
}
