# ---- prelude: web_requests -------------------------------------------------------------------------
# Send requests to web servers, and report why one did not respond.

# Return the login of this name, or $null if the envelope has none.
function Get-Login([string]$Name) {
    if (-not $Secrets.ContainsKey($Name)) { return }
    $found = [regex]::Match($Secrets[$Name], '\A([^:]*):(.*)\z')
    $login = New-Object Net.NetworkCredential
    $login.UserName = [Uri]::UnescapeDataString($found.Groups[1].Value)
    $login.Password = [Uri]::UnescapeDataString($found.Groups[2].Value)
    $login
}

function New-WebRequest([string]$Url, [long]$From) {
    $request = [Net.WebRequest]::Create($Url)
    $request.Timeout = 60000
    $request.ReadWriteTimeout = 60000
    $request.UserAgent = 'nbserver'
    if ($Settings.downloads.proxy) {
        $request.Proxy = New-Object Net.WebProxy $Settings.downloads.proxy
        $request.Proxy.Credentials = Get-Login 'downloads.proxy_login'
    }
    if ($From) { $request.AddRange($From) }
    $request
}

# Return the WebException in an exception: PowerShell wraps what a method throws. Without one, return the innermost.
function Get-WebException([Exception]$Exception) {
    while ($Exception.InnerException -and -not ($Exception -is [Net.WebException])) {
        $Exception = $Exception.InnerException
    }
    $Exception
}

# Return the status of the answer; 0 if there was none.
function Get-HttpStatus([Exception]$Exception) {
    $inner = Get-WebException $Exception
    if ($inner -is [Net.WebException] -and $inner.Response) { [int]$inner.Response.StatusCode } else { 0 }
}

# Return why a request failed. If the clock of a host is wrong, it trusts no certificate; Windows does not mention it.
function Get-WebFailure([Exception]$Exception) {
    $status = Get-HttpStatus $Exception
    $web = Get-WebException $Exception
    if ($status) {
        return New-Failure http-status 'the server responded with HTTP status {status} ({description})' @{
            status = $status; description = [string]$web.Response.StatusCode
        }
    }
    for ($inner = $web; $inner; $inner = $inner.InnerException) {
        if ($inner -is [Security.Authentication.AuthenticationException]) {
            return New-Failure tls-certificate-refused ('this host does not trust the server''s TLS certificate: ' +
                '{error}. The clock on this host shows {time}. If this time is wrong, correct the clock; otherwise, ' +
                'import the certificate of the CA that issued it, if you trust this CA') @{
                error = $inner.Message; time = [DateTime]::UtcNow.ToString('u')
            }
        }
    }
    New-Failure no-answer 'the server did not respond: {error}' @{ error = $web.Message }
}

# Old .NET offers only TLS 1.0 by default. The value 0 means "what Windows chooses", which includes TLS 1.2 where it
# exists. The number is a set of flags, one per protocol. Only this process is changed.
function Enable-Tls12 {
    $protocols = [int][Net.ServicePointManager]::SecurityProtocol
    if ($protocols -eq 0 -or ($protocols -band $Tls12)) { return }
    try { [Net.ServicePointManager]::SecurityProtocol = $protocols -bor $Tls12 }
    catch {
        throw (New-Failure no-tls-1-2 ('.NET Framework on this host does not support TLS 1.2, which downloads ' +
                'require. Install .NET Framework 4.5 or newer, then try again'))
    }
}
