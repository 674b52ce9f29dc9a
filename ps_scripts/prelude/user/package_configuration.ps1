# ---- prelude: package_configuration ----------------------------------------------------------------
# Choose the settings of pip and uv: index, proxy, and trusted authorities of this user.

# Packages come from where pip's own configuration says, and only these of its options are used. uv gets the same. The
# inventory takes precedence.
$UsedOptions = @('index-url', 'extra-index-url', 'no-index', 'find-links', 'proxy', 'cert', 'client-cert',
    'trusted-host', 'keyring-provider')

function Set-PackageConfiguration([hashtable]$Environment) {
    $pip = Get-PipConfiguration $Environment
    if (-not $Settings.packages.index_url) { Set-IndexVariable $Environment $pip }
    if ($pip['proxy']) { Set-ProxyVariable $Environment $pip['proxy'] }
    if ($pip['client-cert']) {
        $Environment.PIP_CLIENT_CERT = $pip['client-cert']
        $Environment.SSL_CLIENT_CERT = $pip['client-cert']
    }
    Set-OwnAuthority $Environment $pip
    $used = @($UsedOptions | Where-Object { $pip[$_] }) -join ' '
    if ($used) {
        $PackageSource.Settings += ", pip $used"
        Write-Notice log pip-settings-used ('nbserver uses these options from ' +
            'the pip configuration: {options}') @{ options = $used }
    }
}

# pip and uv separate several values by spaces; only the folders of UV_FIND_LINKS are separated by commas.
function Set-IndexVariable([hashtable]$Environment, [hashtable]$Pip) {
    if ($Pip['index-url']) {
        $Environment.PIP_INDEX_URL = $Pip['index-url']
        $Environment.UV_DEFAULT_INDEX = $Pip['index-url']
    }
    if ($Pip['extra-index-url']) {
        $Environment.PIP_EXTRA_INDEX_URL = $Pip['extra-index-url']
        $Environment.UV_INDEX = $Pip['extra-index-url']
        $Environment.UV_INDEX_STRATEGY = 'unsafe-best-match'   # as pip does: the version of the lock from any index
    }
    if ($Pip['find-links']) {
        $Environment.PIP_FIND_LINKS = $Pip['find-links']
        $Environment.UV_FIND_LINKS = $Pip['find-links'] -replace ' +', ','
    }
    if ($Pip['trusted-host']) {
        $Environment.PIP_TRUSTED_HOST = $Pip['trusted-host']
        $Environment.UV_INSECURE_HOST = $Pip['trusted-host']
    }
    if ($Pip['keyring-provider']) { $Environment.PIP_KEYRING_PROVIDER = $Pip['keyring-provider'] }
    if ($Pip['keyring-provider'] -ceq 'subprocess') { $Environment.UV_KEYRING_PROVIDER = 'subprocess' }
    $PackageSource.NoIndex = "$($Pip['no-index'])".ToLowerInvariant() -cmatch '^(1|y|yes|t|true|on)$'
}

# The authorities of pip's configuration or of the user's environment take precedence over those of Windows. pip would
# prefer the variables REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, which uv does not know.
function Set-OwnAuthority([hashtable]$Environment, [hashtable]$Pip) {
    $files = $Pip['cert'], $env:REQUESTS_CA_BUNDLE, $env:CURL_CA_BUNDLE, $env:SSL_CERT_FILE
    $Environment.REQUESTS_CA_BUNDLE = $null
    $Environment.CURL_CA_BUNDLE = $null
    foreach ($file in $files) {
        if ($file -and (Test-Path -LiteralPath $file -PathType Leaf)) {
            $Environment.PIP_CERT = $file
            $Environment.SSL_CERT_FILE = $file
            return
        }
    }
}

# Return the options in pip's configuration. The variables override options in a file that would hide the list, a part
# of it, or prevent it: `user` and `global` are also options of `pip config`.
function Get-PipConfiguration([hashtable]$Environment) {
    $variables = $Environment.Clone()
    $variables.PIP_CONFIG_FILE = $env:PIP_CONFIG_FILE
    foreach ($option in $UsedOptions) {
        $name = 'PIP_' + $option.ToUpperInvariant().Replace('-', '_')
        $variables[$name] = [Environment]::GetEnvironmentVariable($name)
    }
    foreach ($name in 'PIP_QUIET', 'PIP_USER', 'PIP_GLOBAL', 'PIP_SITE') { $variables[$name] = '0' }
    $variables.PIP_LOG = 'nul'
    Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'pip', 'config', 'list') $variables -Quiet -Code (
        'pip-configuration-unreadable') -Text (
        'pip cannot read its configuration: {output}. Correct the file, then run this again')
    ConvertFrom-PipConfig $Run.Output
}

# Return name -> value from lines PLACE.NAME='TEXT', in which the text is a Python literal. For the same name, the
# environment takes precedence over the section install, and that over global; of two lines with the same place, the
# later one counts, because some releases of pip list every file.
function ConvertFrom-PipConfig([string[]]$Lines) {
    $values = @{}
    $rank = @{}
    $ignored = @()
    $ranks = @{ 'global' = 1; 'install' = 2; ':env:' = 3 }
    foreach ($line in $Lines) {
        if ($line -cnotmatch "^(global|install|:env:)\.([a-z-]+)='(.*)'`$") { continue }
        $place, $name, $literal = $Matches[1], $Matches[2], $Matches[3]
        if ($UsedOptions -notcontains $name) {
            if ($place -cne ':env:') { $ignored += $name }
            continue
        }
        if ($rank[$name] -and $ranks[$place] -lt $rank[$name]) { continue }
        $values[$name] = (ConvertFrom-PythonLiteral $literal).Trim()
        $rank[$name] = $ranks[$place]
    }
    if ($ignored) {
        Write-Notice log pip-settings-ignored 'nbserver ignores these options in the pip configuration: {options}' @{
            options = $ignored -join ' '
        }
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
