# ---- step: path ----------------------------------------------------------------------------------------

$Bin = 'C:\Program Files\nbserver faults\bin'

Add-Step path 'The PATH of the machine has the entry' -Test {
    Wait-Gate
    if (-not (Test-PathEntry $Bin)) { Add-Difference path-entry 'PATH' $null $Bin }
} -Apply {
    . $WithGates
    Add-PathEntry $Bin
}
