# ---- step: check ---------------------------------------------------------------------------------------
# The port answers, over TLS 1.2 or newer, with the certificate that stands on this host, and the server that runs
# refuses requests without the password. Its files are compared before (step notebook); this asks the server itself.

# The fingerprint of the certificate that the port shows and, with a request, the status that it is answered with;
# nothing where nothing answers. Any certificate is accepted here because the caller compares it; no secret is sent.
function Get-Shown([string]$Request) {
    $address = [Net.IPAddress]::Loopback
    if ($Settings.notebook.ip -ne '*') { $address = [Net.IPAddress]::Parse($Settings.notebook.ip) }
    $client = New-Object Net.Sockets.TcpClient $address.AddressFamily
    try {
        $client.Connect($address, $Settings.notebook.port)
        $client.ReceiveTimeout = 10000
        $client.SendTimeout = 10000
        $tls = New-Object Net.Security.SslStream ($client.GetStream(), $false, { $true })
        $tls.AuthenticateAsClient($Settings.host, $null, [Security.Authentication.SslProtocols]3072, $false)
        $certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 $tls.RemoteCertificate
        $shown = @{ Fingerprint = Get-Fingerprint $certificate; Status = '' }
        if ($Request) { $shown.Status = Get-AnswerStatus $tls $Request }
        $shown
    }
    catch [Net.Sockets.SocketException], [IO.IOException], [Security.Authentication.AuthenticationException] { return }
    finally { $client.Close() }
}

function Get-ShownFingerprint {
    $shown = Get-Shown
    if ($shown) { $shown.Fingerprint }
}

# The three digits of an HTTP answer; '' where there is no such answer. Of what the server says nothing else is
# used, and no more is read than the beginning: at most 1 KB, for at most 20 seconds.
function Get-AnswerStatus($Stream, [string]$Request) {
    $buffer = New-Object byte[] 1024
    $count = 0
    try {
        $bytes = $Utf8.GetBytes($Request)
        $Stream.Write($bytes, 0, $bytes.Length)
        $time = [Diagnostics.Stopwatch]::StartNew()
        while ($count -lt $buffer.Length -and $buffer -notcontains 10) {   # the first line is not complete
            if ($time.Elapsed.TotalSeconds -gt 20) { return '' }
            $read = $Stream.Read($buffer, $count, $buffer.Length - $count)
            if (-not $read) { return '' }
            $count += $read
        }
    }
    catch [IO.IOException] { return '' }
    if ($Utf8.GetString($buffer, 0, $count) -cmatch '\AHTTP/1\.[01] ([0-9]{3})[ \r]') { return $Matches[1] }
    ''
}

# The requests that the running server does not refuse, in words. A notebook server answers this one with the list of
# its kernels to whoever is logged in, and with 403 to everybody else.
function Get-OpenRequests {
    $request = "GET /api/kernels HTTP/1.1`r`nHost: localhost:$($Settings.notebook.port)`r`nConnection: close`r`n"
    $ways = @(
        @{ Name = 'without the password'; Header = '' }
        @{ Name = 'with a random token'; Header = "Authorization: token $([guid]::NewGuid())`r`n" }
    )
    foreach ($way in $ways) {
        $shown = Get-Shown "$request$($way.Header)`r`n"
        if ($shown -and '401', '403' -contains $shown.Status) { continue }
        $is = 'not answered by a web server'
        if ($shown -and $shown.Status) { $is = "answered with $($shown.Status)" }
        @{ what = "GET /api/kernels on port $($Settings.notebook.port) $($way.Name)"; is = $is }
    }
}

# Fails where the server that answers does not refuse both requests.
function Assert-Closed {
    foreach ($open in Get-OpenRequests) {
        $todo = 'Disable-ScheduledTask nbserver; Stop-ScheduledTask nbserver'
        if ($Settings.scope -eq 'user') { $todo = 'nbserver stop local' }
        throw ("$($open.what) is $($open.is) instead of refused with 401 or 403: perhaps everybody who reaches this port can " +
            "run programs as the server's account. Stop the server ($todo) and read its log ($ServerLog). If something was " +
            "added to $(Get-EnvironmentFolder), remove that folder. Then run apply again")
    }
}

Add-Step check 'the port answers with this certificate, and refuses whoever has no password' -Test {
    $should = 'the certificate that the step of that name makes'
    $certificate = Get-ServerCertificate
    if ($certificate) { $should = Get-Fingerprint $certificate }
    $is = Get-ShownFingerprint
    if ($is -ne $should) { Difference "port $($Settings.notebook.port)" $is $should }
    if ($is) { foreach ($open in Get-OpenRequests) { Difference $open.what $open.is 'refused with 401 or 403' } }
} -Apply {
    # The server was just started; a slow host takes a minute.
    for ($second = 0; $second -lt 180; $second++) {
        if (Get-ShownFingerprint) { Assert-Closed; return }
        if (-not (Test-ServerRunning) -and $second -gt 20) { break }
        if ($second % 10 -eq 5) { Write-Event progress @{ what = 'waiting for the server'; done = $second; total = 180; unit = 'seconds' } }
        [Threading.Thread]::Sleep(1000)
    }
    $words = 'no log was written'
    if (Test-Path -LiteralPath $ServerLog) { $words = @(Read-LastLine $ServerLog 3) -join ' / ' }
    throw "nothing answers on port $($Settings.notebook.port). The server's log ($ServerLog) ends with: $words"
}
