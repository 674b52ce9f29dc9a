# ---- step: tls -----------------------------------------------------------------------------------------
# Old .NET offers TLS 1.0 unless told otherwise. This concerns the downloads of this process only; nothing
# on the host is changed. 0 is 'what Windows chooses', which includes 1.2 where it exists; 3072 is TLS 1.2,
# by number because .NET before 4.5 has no name for it.

Add-Step tls 'downloads use TLS 1.2 or newer' -Test {
    $now = [int][Net.ServicePointManager]::SecurityProtocol
    if ($now -eq 0 -or ($now -band 3072)) { return }
    try { [Net.ServicePointManager]::SecurityProtocol = $now -bor 3072 }
    catch { throw '.NET here does not know TLS 1.2. Install .NET Framework 4.5 or newer' }
} -Apply {
    throw 'tls has nothing to change'
}
