# ---- prelude: dropped_settings ---------------------------------------------------------------------
# Find changes by earlier runs that the current settings no longer require.

# Return the lines of the record that only earlier settings needed, newest first. The step cleanup restores them.
function Get-DroppedLine { Get-ReversedRecord | Where-Object { Test-DroppedLine $_ } }

function Get-ReversedRecord {
    $lines = @(Read-Record)
    [Array]::Reverse($lines)
    $lines
}

function Test-DroppedLine($Line) {
    if ($Line.kind -eq 'grant') { return -not (Test-NotebookPath $Line.key) }
    if ($Line.kind -eq 'data_folder') { return -not (Test-NotebookPath $Line.key) -and (Test-EmptyFolder $Line.key) }
    if ($Line.kind -eq 'folder' -and $Line.key -eq $DeliveredFolder) { return -not (Test-Push) }
    Test-LeftOutLine $Line
}

# A folder that has files stays in the record: undo removes the first page in it, and then the folder if it is empty.
function Test-EmptyFolder([string]$Path) {
    -not (Test-Path -LiteralPath $Path) -or -not @(Get-ChildItem -LiteralPath $Path -Force).Count
}

# True if the path is notebook.directory, or one of the two is in the other: what was changed there is still needed.
function Test-NotebookPath([string]$Path) {
    $is = $Path.TrimEnd('\')
    $directory = Get-NotebookPath
    $is -eq $directory -or (Test-Below $is $directory) -or (Test-Below $directory $is)
}
