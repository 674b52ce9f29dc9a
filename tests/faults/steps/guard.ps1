# ---- step: guard, a bracket ----------------------------------------------------------------------------

$RegistryValues += "$GuardKey|Guard"

Add-Step guard 'The guard is down while the other steps run' -Bracket -Test {
    Wait-Gate
    Compare-RegistryValue $GuardKey Guard 0
} -Apply {
    . $WithGates
    Add-ClosingTask $GuardKey Guard
    Set-RegistryValue $GuardKey Guard 0 DWord
}
