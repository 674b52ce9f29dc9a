# ---- prelude: server_check -------------------------------------------------------------------------
# Ask the running server for its certificate, and send requests without the password.

$Tls12 = 3072   # the flag of TLS 1.2; as a number, because .NET before 4.5 has no name for it
$NoHttp = 'no HTTP status'
$SChannel = 'SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL\Protocols'

# Return the fingerprint of the certificate on the notebook port and, with a request, the HTTP status of the answer; or
# nothing if no TLS server answers. Any certificate is accepted, because the caller compares it; no secret is sent.
function Get-ServerAnswer([string]$Request) {
    $address = [Net.IPAddress]::Loopback
    if ($Settings.notebook.ip -ne '*') { $address = [Net.IPAddress]::Parse($Settings.notebook.ip) }
    $client = New-Object Net.Sockets.TcpClient $address.AddressFamily
    try {
        $client.Connect($address, $Settings.notebook.port)
        $client.ReceiveTimeout = 10000
        $client.SendTimeout = 10000
        $tls = New-Object Net.Security.SslStream ($client.GetStream(), $false, { $true })
        $tls.AuthenticateAsClient($Settings.host, $null, [Security.Authentication.SslProtocols]$Tls12, $false)
        $certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 $tls.RemoteCertificate
        $answer = @{ Fingerprint = Get-Fingerprint $certificate; Status = '' }
        if ($Request) { $answer.Status = Get-AnswerStatus $tls $Request }
        $answer
    }
    catch [Net.Sockets.SocketException], [IO.IOException], [Security.Authentication.AuthenticationException] { return }
    catch [ComponentModel.Win32Exception] {
        $failure = New-TlsClientFailure $_.Exception.GetBaseException().Message
        throw $failure
    }
    finally { $client.Close() }
}

# If TLS 1.2 is disabled for clients, Windows refuses to connect, and every server would look silent.
function New-TlsClientFailure([string]$Reason) {
    New-Failure tls-client-disabled ('Windows could not use TLS 1.2 to connect to the notebook server: {error}. In ' +
        '{key}, set Enabled to 1 and DisabledByDefault to 0, restart Windows, then try again') @{
        error = $Reason; key = "HKLM\$SChannel\TLS 1.2\Client"
    }
}

function Get-ServerFingerprint {
    $answer = Get-ServerAnswer
    if ($answer) { $answer.Fingerprint }
}

# Return the three digits of the HTTP status, $NoHttp if the answer is something else, or '' if no line arrives in time.
# Nothing else of the answer is used, and only its beginning is read: at most 1 KB, for at most 20 seconds.
function Get-AnswerStatus($Stream, [string]$Request) {
    $lineFeed = 10
    $buffer = New-Object byte[] 1024
    $count = 0
    try {
        $bytes = $Utf8.GetBytes($Request)
        $Stream.Write($bytes, 0, $bytes.Length)
        $time = [Diagnostics.Stopwatch]::StartNew()
        while ($count -lt $buffer.Length -and $buffer -notcontains $lineFeed) {
            if ($time.Elapsed.TotalSeconds -gt 20) { return '' }
            $read = $Stream.Read($buffer, $count, $buffer.Length - $count)
            if (-not $read) { return '' }
            $count += $read
        }
    }
    catch [IO.IOException] { return '' }
    if ($Utf8.GetString($buffer, 0, $count) -cmatch '\AHTTP/1\.[01] ([0-9]{3})[ \r]') { return $Matches[1] }
    $NoHttp
}

# Return the status of a request for the list of kernels, or '' if the server does not answer. A notebook server refuses
# this request without the password.
function Get-KernelStatus([string]$Header) {
    $request = "GET /api/kernels HTTP/1.1`r`nHost: localhost:$($Settings.notebook.port)`r`nConnection: close`r`n"
    $answer = Get-ServerAnswer "$request$Header`r`n"
    if ($answer) { $answer.Status } else { '' }
}

function Get-StatusWithoutPassword { Get-KernelStatus '' }

function Get-StatusWithRandomToken { Get-KernelStatus "Authorization: token $([guid]::NewGuid())`r`n" }

function Test-Refused([string]$Status) { '401', '403' -contains $Status }
