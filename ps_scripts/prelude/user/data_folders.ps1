# ---- prelude: data_folders -------------------------------------------------------------------------
# Create the folder for notebooks, and remove it at undo if it is empty.

# The server runs as the user, who chose the folder and has access to it.

function Test-ServiceGrant([string]$Path) { Test-Path -LiteralPath $Path }

function Add-DataFolder([string]$Path) {
    if (Test-Path -LiteralPath $Path) { return }
    foreach ($folder in @(Get-MissingParent $Path) + $Path) {
        Save-Before 'data_folder' $folder $null
        [void](New-Item -ItemType Directory -Path $folder)
    }
}

$Restore.data_folder = {
    param($Path)
    if (Test-Path -LiteralPath $Path) { Remove-DataFolder $Path }
}
