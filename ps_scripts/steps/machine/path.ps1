# ---- step: path ------------------------------------------------------------------------------------
# Add the programs of the server to the PATH of the machine.

# Programs that already run keep the PATH with which they started; new sessions use the new one.

# Return the entries of the settings. path.programs means the folders of Python and OpenSSL, wherever they are.
function Get-WantedPathEntry {
    foreach ($entry in $Settings.path.entries) { Expand-Path $entry }
    if ($Settings.path.programs) {
        Get-PythonFolder
        Join-Path (Get-PythonFolder) 'Scripts'
        Split-Path -Parent (Get-OpenSsl)
    }
}

Add-Step path 'The machine PATH contains the environment, Python, and OpenSSL' -Test {
    foreach ($entry in Get-WantedPathEntry) {
        if (-not (Test-PathEntry $entry)) { Add-Difference path-entry 'PATH' $null $entry }
    }
    foreach ($line in Get-ObsoletePathEntry @(Get-WantedPathEntry)) {
        Add-Difference path-entry 'PATH' $line.key $null
    }
} -Apply {
    foreach ($line in Get-ObsoletePathEntry @(Get-WantedPathEntry)) { Undo-Line $line }
    foreach ($entry in Get-WantedPathEntry) {
        if (-not (Test-PathEntry $entry)) { Add-PathEntry $entry }
    }
}
