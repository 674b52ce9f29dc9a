# ---- prelude: not_found ----------------------------------------------------------------------------
# Distinguish what does not exist from what cannot be read.

# Return whether a command failed because what it was asked for does not exist. Any other error, such as access that is
# denied, does not mean that.
function Test-NotFound($Record) { [string]$Record.CategoryInfo.Category -eq 'ObjectNotFound' }
