# ---- prelude: foreign_configuration ----------------------------------------------------------------
# Find configuration from other Jupyter installations, which the server does not use.

# Return the files and variables that could configure Jupyter or IPython, or the installation of packages. The step
# packages and the program that starts the server make sure that none of them is used.
function Get-ForeignConfiguration {
    Get-ForeignFile
    Get-ForeignVariable
}

# Return files of the machine and of the account that runs the server. Folders that cannot be read are left out.
function Get-ForeignFile {
    $account = Get-ServerProfile
    $places = @(
        @{ Folder = "$env:ProgramData\jupyter"; Name = '*' }
        @{ Folder = "$env:ProgramData\ipython"; Name = '*' }
        @{ Folder = "$account\.jupyter"; Name = '*_config.*' }
        @{ Folder = "$account\AppData\Roaming\jupyter"; Name = '*_config.*' }
        @{ Folder = "$account\.ipython\profile_default"; Name = '*_config.*' }
        @{ Folder = "$account\.ipython\profile_default\startup"; Name = '*.py' }
    )
    foreach ($place in $places + @(Get-IgnoredPackageFile)) {
        if (-not [IO.Directory]::Exists($place.Folder)) { continue }
        try { [IO.Directory]::GetFileSystemEntries($place.Folder, $place.Name) }
        catch [UnauthorizedAccessException] { continue }
    }
}

# Return the names of variables. A value may be a secret, and is not returned.
function Get-ForeignVariable {
    foreach ($target in $VariableTargets) {
        foreach ($name in [Environment]::GetEnvironmentVariables($target).Keys) {
            if ($name.ToUpperInvariant() -cmatch $IgnoredVariables) { "the variable $name" }
        }
    }
}

# Write one warning per run, with at most ten names.
function Write-ForeignConfiguration {
    if ($Run.ForeignNamed) { return }
    $Run.ForeignNamed = $true
    Set-Found no-foreign-configuration 'no configuration from other installations was found'
    $found = @(Get-ForeignConfiguration | Sort-Object)
    if (-not $found.Count) { return }
    $names = @($found | Select-Object -First 10) -join ', '
    if ($found.Count -le 10) {
        Write-Notice warning foreign-configuration ('nbserver ignores configuration ' +
            'that it did not install: {names}') @{ names = $names }
        return
    }
    Write-Notice warning much-foreign-configuration ('nbserver ignores configuration that it did not install: ' +
        '{names}, and {more} more') @{
        names = $names; more = $found.Count - 10
    }
}
