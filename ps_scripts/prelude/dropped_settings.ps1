# ---- prelude: dropped_settings ---------------------------------------------------------------------
# Find what earlier settings changed on this host and the present settings leave alone.

# Return the lines of the record that only earlier settings needed, newest first. The step cleanup restores them.
function Get-DroppedLine {
    $lines = @(Read-Record | Where-Object { Test-DroppedLine $_ })
    [Array]::Reverse($lines)
    $lines
}

function Test-DroppedLine($Line) {
    if ('grant', 'data_folder' -contains $Line.kind) { return -not (Test-NotebookPath $Line.key) }
    if ($Line.kind -eq 'folder' -and $Line.key -eq $DeliveredFolder) { return -not (Test-Push) }
    Test-LeftOutLine $Line
}

# True if the path is notebook.directory, or one of the two is in the other: what was changed there is still needed.
function Test-NotebookPath([string]$Path) {
    $is = $Path.TrimEnd('\')
    $directory = (Expand-Path $Settings.notebook.directory).TrimEnd('\')
    $is -eq $directory -or (Test-Below $is $directory) -or (Test-Below $directory $is)
}
