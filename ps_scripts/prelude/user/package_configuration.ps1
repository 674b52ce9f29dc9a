# ---- prelude: package_configuration ----------------------------------------------------------------
# Choose the settings of pip and uv: index, proxy, and trusted authorities of this user.

# Packages come from where pip's own configuration says, and only these of its options are used. uv gets the same. The
# inventory takes precedence.
$UsedOptions = @('index-url', 'extra-index-url', 'no-index', 'find-links', 'proxy', 'cert', 'client-cert',
    'trusted-host', 'keyring-provider')

function Set-PackageConfiguration([hashtable]$Environment) {
    $pip = Get-PipConfiguration $Environment
    $PackageSource.Used = @()
    $hasIndex = $Settings.packages.index_url -or (Test-Mirror) -or (Test-Push)
    if (-not $hasIndex) { Set-OwnIndex $Environment $pip }
    if (-not $Settings.downloads.proxy) { Set-FromPip $Environment $pip 'proxy' 'HTTP_PROXY', 'HTTPS_PROXY' }
    Set-FromPip $Environment $pip 'client-cert' 'PIP_CLIENT_CERT', 'SSL_CLIENT_CERT'
    Set-OwnAuthority $Environment $pip
    if ($PackageSource.Used) {
        Write-Notice log pip-settings-used ('nbserver uses these options from ' +
            'the pip configuration: {options}') @{ options = $PackageSource.Used -join ' ' }
    }
}

# Set the variables to the value of an option of pip, if it has one.
function Set-FromPip {
    param([hashtable]$Environment, [hashtable]$Pip, [string]$Option, [string[]]$Variables)
    if (-not $Pip[$Option]) { return }
    $PackageSource.Used += $Option
    foreach ($name in $Variables) { $Environment[$name] = $Pip[$Option] }
}

# pip and uv separate several values by spaces; only the folders of UV_FIND_LINKS are separated by commas.
function Set-OwnIndex([hashtable]$Environment, [hashtable]$Pip) {
    Set-FromPip $Environment $Pip 'index-url' 'PIP_INDEX_URL', 'UV_DEFAULT_INDEX'
    Set-FromPip $Environment $Pip 'extra-index-url' 'PIP_EXTRA_INDEX_URL', 'UV_INDEX'
    if ($Pip['extra-index-url']) {
        $Environment.UV_INDEX_STRATEGY = 'unsafe-best-match'   # as pip does: the version of the lock from any index
    }
    Set-FromPip $Environment $Pip 'find-links' 'PIP_FIND_LINKS'
    if ($Pip['find-links']) { $Environment.UV_FIND_LINKS = $Pip['find-links'] -replace ' +', ',' }
    Set-FromPip $Environment $Pip 'trusted-host' 'PIP_TRUSTED_HOST', 'UV_INSECURE_HOST'
    Set-FromPip $Environment $Pip 'keyring-provider' 'PIP_KEYRING_PROVIDER'
    if ($Pip['keyring-provider'] -ceq 'subprocess') { $Environment.UV_KEYRING_PROVIDER = 'subprocess' }
    $PackageSource.NoIndex = "$($Pip['no-index'])".ToLowerInvariant() -cmatch '^(1|y|yes|t|true|on)$'
    if ($PackageSource.NoIndex) { $PackageSource.Used += 'no-index' }
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
            if ($file -ceq $Pip['cert']) { $PackageSource.Used += 'cert' }
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
    Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'pip', 'config', 'list') $variables -Quiet -Accept @(0..3)
    if ($Run.ExitCode) {
        throw (New-Failure pip-configuration-unreadable ('pip cannot read its configuration: {output}. Correct the ' +
                'pip configuration file, then try again') @{
                output = Get-ErrorText @(Select-UnquotedLine $Run.Output)
            })
    }
    ConvertFrom-PipConfig $Run.Output
}

# Return the lines without those that pip quotes from the file that it cannot read: they may have a password.
function Select-UnquotedLine([string[]]$Lines) {
    $Lines | Where-Object { $_ -cnotmatch '\A\s*[''"]' -and $_ -cnotmatch '\]: [''"]' -and $_ -cnotmatch '://' }
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
