# ---- step: tls -------------------------------------------------------------------------------------
# Let the downloads of this process use TLS 1.2; nothing on the host is changed.

Add-Step tls 'Downloads use TLS 1.2 or newer' -Test { Enable-Tls12 } -Apply {
    throw (New-Failure nothing-to-apply ('internal error (a bug in nbserver): the step {step} has nothing to change. ' +
            'Report this bug, and include this message') @{ step = 'tls' })
}
