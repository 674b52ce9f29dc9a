# ---- step: pending, says what preflight says if Windows waits for a reboot -----------------------------

Add-Step pending 'No reboot is pending' -Test {
    if (Test-Path -LiteralPath 'C:\faults\pending') {
        $Run.Reboot = $true
        $Run.Pending = ' (C:\faults\pending)'
    }
} -Apply {
    throw (New-Failure nothing-to-apply 'The step {step} has nothing to change' @{ step = 'pending' })
}
