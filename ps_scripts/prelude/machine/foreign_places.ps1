# ---- prelude: foreign_places -----------------------------------------------------------------------
# Define where configuration from other installations may be on this host.

$IgnoredVariables = '^(JUPYTER|IPYTHON|PYTHON|OPENSSL_|PIP_|UV_)'
$VariableTargets = @('Machine')

# The server runs as LOCAL SERVICE.
function Get-ServerProfile { "$env:SystemRoot\ServiceProfiles\LocalService" }

function Get-IgnoredPackageFile {
    @{ Folder = "$env:ProgramData\pip"; Name = 'pip.ini' }
    @{ Folder = "$env:ProgramData\uv"; Name = 'uv.toml' }
}
