# ---- step: path ----------------------------------------------------------------------------------------

$Bin = 'C:\Program Files\nbserver faults\bin'

Add-Step path 'the machine PATH has our entry' -Test {
    Wait-Gate
    if (-not (Test-PathEntry $Bin)) { Difference 'PATH' $null $Bin }
} -Apply {
    . $WithGates
    Add-PathEntry $Bin
}
