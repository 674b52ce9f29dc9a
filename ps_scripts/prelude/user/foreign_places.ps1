# ---- prelude: foreign_places -----------------------------------------------------------------------
# Define where configuration from other installations may be for this user.

$IgnoredVariables = '^(JUPYTER|IPYTHON|PYTHON|OPENSSL_)'
$VariableTargets = @('Machine', 'User')

function Get-ServerProfile { $env:USERPROFILE }

# Packages are installed with the user's configuration of pip and uv, so no file of these is ignored.
function Get-IgnoredPackageFile { }
