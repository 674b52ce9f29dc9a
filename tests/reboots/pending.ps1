# ---- step: pending, says what preflight says where Windows waits for a reboot ---------------------------

Add-Step pending 'no reboot is pending' -Test {
    if (Test-Path -LiteralPath 'C:\faults\pending') { $Run.Reboot = $true; $Run.Pending = ' (C:\faults\pending)' }
} -Apply { throw 'pending has nothing to change' }
