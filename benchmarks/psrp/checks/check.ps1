$client = New-Object Net.Sockets.TcpClient
$client.Connect([Net.IPAddress]::Loopback, $Port)
try {
    $client.ReceiveTimeout = 10000
    $tls = New-Object Net.Security.SslStream ($client.GetStream(), $false, { $true })
    $tls.AuthenticateAsClient('win1', $null, [Security.Authentication.SslProtocols]3072, $false)
    $shown = New-Object Security.Cryptography.X509Certificates.X509Certificate2 $tls.RemoteCertificate
}
finally { $client.Close() }
$certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 "$env:ProgramData\nbserver\service\certificate.pem"
if ($shown.Thumbprint -ne $certificate.Thumbprint) { throw "another certificate: $($shown.Thumbprint)" }
