# ---- prelude: package_configuration ----------------------------------------------------------------
# Read no configuration of pip and uv: in machine scope, all of it is in the inventory.

function Set-PackageConfiguration([hashtable]$Environment) { return }
