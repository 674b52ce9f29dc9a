# ---- prelude: foreign_configuration ----------------------------------------------------------------
# Find configuration from other Jupyter installations, which the server does not use.

# Return the files and variables that could configure Jupyter, IPython or, in machine scope, pip and uv. The step
# packages and the program that starts the server make sure that none of them is used.
function Get-ForeignConfiguration {
    Get-ForeignFile
    Get-ForeignVariable
}

# Return files of the machine and of the account that runs the server. Folders that cannot be read are left out.
function Get-ForeignFile {
    $account = "$env:SystemRoot\ServiceProfiles\LocalService"
    if ($Settings.scope -eq 'user') { $account = $env:USERPROFILE }
    $places = @(
        @{ Folder = "$env:ProgramData\jupyter"; Name = '*' }
        @{ Folder = "$env:ProgramData\ipython"; Name = '*' }
        @{ Folder = "$account\.jupyter"; Name = '*_config.*' }
        @{ Folder = "$account\AppData\Roaming\jupyter"; Name = '*_config.*' }
        @{ Folder = "$account\.ipython\profile_default"; Name = '*_config.*' }
        @{ Folder = "$account\.ipython\profile_default\startup"; Name = '*.py' }
    )
    # In user scope, packages are installed with the user's configuration of pip and uv.
    if ($Settings.scope -ne 'user') {
        $places += @{ Folder = "$env:ProgramData\pip"; Name = 'pip.ini' }
        $places += @{ Folder = "$env:ProgramData\uv"; Name = 'uv.toml' }
    }
    foreach ($place in $places) {
        if (-not [IO.Directory]::Exists($place.Folder)) { continue }
        try { [IO.Directory]::GetFileSystemEntries($place.Folder, $place.Name) }
        catch [UnauthorizedAccessException] { continue }
    }
}

# Return the names of variables. A value may be a secret, and is not returned.
function Get-ForeignVariable {
    $pattern = '^(JUPYTER|IPYTHON|PYTHON|OPENSSL_|PIP_|UV_)'
    $targets = @('Machine')
    if ($Settings.scope -eq 'user') {
        $pattern = '^(JUPYTER|IPYTHON|PYTHON|OPENSSL_)'
        $targets += 'User'
    }
    foreach ($target in $targets) {
        foreach ($name in [Environment]::GetEnvironmentVariables($target).Keys) {
            if ($name.ToUpperInvariant() -cmatch $pattern) { "the variable $name" }
        }
    }
}

# Write one warning per run, with at most ten names.
function Write-ForeignConfiguration {
    if ($Run.ForeignNamed) { return }
    $Run.ForeignNamed = $true
    $found = @(Get-ForeignConfiguration | Sort-Object)
    if (-not $found.Count) { return }
    $names = @($found | Select-Object -First 10) -join ', '
    if ($found.Count -le 10) {
        Write-Notice warning foreign-configuration (
            'Configuration from other installations was found and is ignored: {names}') @{ names = $names }
        return
    }
    Write-Notice warning much-foreign-configuration (
        'Configuration from other installations was found and is ignored: {names}, and {more} more') @{
        names = $names; more = $found.Count - 10
    }
}
