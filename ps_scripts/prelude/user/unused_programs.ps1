# ---- prelude: unused_programs ----------------------------------------------------------------------
# Find the environments that are no longer used.

# Return the lines of the record about other environments than the one in use and the one that is kept, newest first.
function Get-UnusedLine {
    $used = @(Get-EnvironmentFolder) + @(Get-KeptFolder)
    $lines = @(Read-Record | Where-Object { (Test-EnvironmentLine $_) -and $used -notcontains $_.key })
    [Array]::Reverse($lines)
    $lines
}

# True for a line about the folder of an environment, right below the folder for programs.
function Test-EnvironmentLine($Line) {
    if ($Line.kind -ne 'folder' -or (Split-Path -Parent $Line.key) -ne $Programs) { return $false }
    if ($Line.key -cmatch $AsideName -and (Test-Aside $Matches[1])) { return $false }   # the next apply needs it
    (Split-Path -Leaf $Line.key) -cmatch '^env-'
}

# No step of this scope can be left out.
function Test-LeftOutLine($Line) { $false }
