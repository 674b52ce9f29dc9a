# ---- step: check ---------------------------------------------------------------------------------------
# The port answers, over TLS 1.2 or newer, with the certificate that stands on this host.

# The fingerprint of the certificate that the port shows; nothing where nothing answers.
function Get-ShownFingerprint {
    $address = [Net.IPAddress]::Loopback
    if ($Settings.notebook.ip -ne '*') { $address = [Net.IPAddress]::Parse($Settings.notebook.ip) }
    $client = New-Object Net.Sockets.TcpClient $address.AddressFamily
    try {
        $client.Connect($address, $Settings.notebook.port)
        $client.ReceiveTimeout = 10000
        # Any certificate is accepted here because the next line is what checks it; nothing is sent.
        $tls = New-Object Net.Security.SslStream ($client.GetStream(), $false, { $true })
        $tls.AuthenticateAsClient($Settings.host, $null, [Security.Authentication.SslProtocols]3072, $false)
        Get-Fingerprint (New-Object Security.Cryptography.X509Certificates.X509Certificate2 $tls.RemoteCertificate)
    }
    catch [Net.Sockets.SocketException], [IO.IOException], [Security.Authentication.AuthenticationException] { return }
    finally { $client.Close() }
}

Step check 'the port answers with this certificate' -Test {
    $should = 'the certificate that the step of that name makes'
    $certificate = Get-ServerCertificate
    if ($certificate) { $should = Get-Fingerprint $certificate }
    $is = Get-ShownFingerprint
    if ($is -ne $should) { Difference "port $($Settings.notebook.port)" $is $should }
} -Apply {
    # The server was just started; a slow host takes a minute.
    for ($second = 0; $second -lt 180; $second++) {
        if (Get-ShownFingerprint) { return }
        if (-not (Test-ServerRunning) -and $second -gt 20) { break }
        if ($second % 10 -eq 5) { Write-Event progress @{ what = 'waiting for the server'; done = $second; total = 180; unit = 'seconds' } }
        [Threading.Thread]::Sleep(1000)
    }
    $words = 'no log was written'
    if (Test-Path -LiteralPath $ServerLog) { $words = @(Read-LastLines $ServerLog 3) -join ' / ' }
    throw "nothing answers on port $($Settings.notebook.port). The server's log ($ServerLog) ends with: $words"
}
