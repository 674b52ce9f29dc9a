# ---- prelude: data_folders -------------------------------------------------------------------------
# Create the notebook folder; undo removes it only if it is empty.

# The server runs as the user, who chose the folder and has access to it.

function Test-ServiceGrant([string]$Path) { Test-Path -LiteralPath $Path }

function Add-DataFolder([string]$Path) {
    if (Test-Path -LiteralPath $Path) { return }
    foreach ($folder in @(Get-MissingParent $Path) + $Path) {
        Save-Before 'data_folder' $folder $null
        [void](New-Item -ItemType Directory -Path $folder)
    }
}

# Undo restores a folder that the settings may name, which may be an earlier notebook.directory, whatever the record
# contains.
function Assert-RecordedFolder([string]$Path) {
    if ($Path -cmatch '\A([A-Za-z]:|\\\\[^\\:/]+)\\[^:/]+\z' -and "$Path\" -cnotmatch '\\\.\.?\\') { return }
    $fault = New-Failure folder-name-form ('expected a path with a drive letter and without / or .., such as ' +
        'D:\notebooks')
    throw (New-Failure record-folder-refused ('{record}, the list of what undo restores, contains a line for the ' +
            'notebook folder {path}, but this path cannot be a notebook folder: {cause}. Find out who added this ' +
            'line, remove it, then try again') @{
            path = $Path; record = $RecordFile
        } -Cause $fault)
}

$Restore.data_folder = {
    param($Path)
    if (Test-Path -LiteralPath $Path) { Remove-DataFolder $Path }
}
