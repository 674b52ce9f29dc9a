# ---- prelude: package_configuration ----------------------------------------------------------------
# Use the user's configuration of pip and uv.

# The user's configuration chooses index, proxy, and certificates. The hashes in the lock determine what is installed,
# and this script determines where.

function Set-PackageConfiguration([hashtable]$Environment) {
    $Environment.PIP_USER = '0'
    $Environment.PIP_REQUIRE_VIRTUALENV = '0'
}

# Return the variables for uv, with the user's configuration of pip, which uv does not read. The inventory takes
# precedence.
function Get-UvEnvironment([hashtable]$Environment) {
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
    $Environment
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
