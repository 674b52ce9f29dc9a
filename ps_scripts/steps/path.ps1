# ---- step: path ----------------------------------------------------------------------------------------
# Programs that run already keep the PATH they started with; new sessions see this one.
# The settings name the entries; `programs` stands for the folders of Python and OpenSSL, wherever they are.

function Get-PathEntries {
    foreach ($entry in $Settings.path.entries) { Expand-Path $entry }
    if ($Settings.path.programs) {
        Get-PythonFolder
        Join-Path (Get-PythonFolder) 'Scripts'
        Split-Path -Parent (Get-OpenSsl)
    }
}

Add-Step path 'the machine PATH has the environment, Python and OpenSSL' -Test {
    foreach ($entry in Get-PathEntries) {
        if (-not (Test-PathEntry $entry)) { Difference 'PATH' $null $entry }
    }
    foreach ($line in Get-ObsoletePathEntry @(Get-PathEntries)) { Difference 'PATH' $line.key $null }
} -Apply {
    foreach ($line in Get-ObsoletePathEntry @(Get-PathEntries)) { Undo-Line $line }
    foreach ($entry in Get-PathEntries) {
        if (-not (Test-PathEntry $entry)) { Add-PathEntry $entry }
    }
}
