# ---- prelude: package_configuration ----------------------------------------------------------------
# Add no configuration of pip and uv: in machine scope, the inventory has all of it.

function Set-PackageConfiguration([hashtable]$Environment) { return }
