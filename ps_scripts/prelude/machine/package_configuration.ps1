# ---- prelude: package_configuration ----------------------------------------------------------------
# Turn off other configuration of pip and uv.

# Configuration files are turned off, and variables are removed.
function Set-PackageConfiguration([hashtable]$Environment) {
    foreach ($name in [Environment]::GetEnvironmentVariables().Keys) {
        if ($name.ToUpperInvariant() -cmatch '^(PIP|UV)_') { $Environment[$name] = $null }
    }
    $Environment.UV_NO_CONFIG = '1'
    $Environment.PIP_CONFIG_FILE = 'nul'   # in lower case: pip compares it with Python's name of the null device
}

# uv gets the same variables as pip.
function Get-UvEnvironment([hashtable]$Environment) { $Environment }
