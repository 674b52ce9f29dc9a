# ---- prelude: not_found ----------------------------------------------------------------------------
# Distinguish a file that does not exist from one that cannot be read.

# Return whether a command failed because what it was asked for does not exist. Any other error, such as access that is
# denied, does not mean that.
function Test-NotFound($Record) { [string]$Record.CategoryInfo.Category -eq 'ObjectNotFound' }
