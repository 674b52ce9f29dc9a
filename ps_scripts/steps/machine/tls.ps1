# ---- step: tls -------------------------------------------------------------------------------------
# Let the downloads of this process use TLS 1.2; nothing on the host is changed.

# Old .NET offers only TLS 1.0 by default. The value 0 means "what Windows chooses", which includes TLS 1.2 where it
# exists. The number is a set of flags, one per protocol.

Add-Step tls 'Downloads use TLS 1.2 or newer' -Test {
    $protocols = [int][Net.ServicePointManager]::SecurityProtocol
    if ($protocols -eq 0 -or ($protocols -band $Tls12)) { return }
    try { [Net.ServicePointManager]::SecurityProtocol = $protocols -bor $Tls12 }
    catch {
        throw (New-Failure no-tls-1-2 ('.NET Framework on this host does not support TLS 1.2, which downloads ' +
                'require. Install .NET Framework 4.5 or newer, then try again'))
    }
} -Apply {
    throw (New-Failure nothing-to-apply ('internal error (a bug in nbserver): the step {step} has nothing to change. ' +
            'Report this bug, and include this message') @{ step = 'tls' })
}
