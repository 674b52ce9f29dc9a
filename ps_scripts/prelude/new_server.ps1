# ---- prelude: new_server ---------------------------------------------------------------------------
# Check the packages of a new environment, and the server that runs from it.

# What the core packages are imported as. Only those in the lock are imported.
$CoreModules = @{
    numpy = 'numpy'; matplotlib = 'matplotlib'; tornado = 'tornado.web'; pyzmq = 'zmq'; ipython = 'IPython'
    ipykernel = 'ipykernel.kernelapp'; 'jupyter-server' = 'jupyter_server.serverapp'; notebook = 'notebook'
}

# Linux hosts get the same text.
$ImportWithPython = @'
import importlib, sys

for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        sys.exit("error: import %s: %s: %s" % (name, type(error).__name__, error))
'@ -replace "`r", ''

# Load the login page, and log in with a wrong password, as a browser would. Prints the status of both answers. Linux
# hosts get the same text.
$LoginWithPython = @'
import http.client, os, re, ssl, sys, urllib.parse

address, port = sys.argv[1], int(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode, context.minimum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2


def ask(method, body, headers):
    line = http.client.HTTPSConnection(address, port, timeout=30, context=context)
    line.request(method, "/login", body, {"Host": "localhost:%d" % port, **headers})
    answer = line.getresponse()
    cookies = answer.headers.get_all("Set-Cookie") or []
    line.close()
    return answer.status, [cookie.partition(";")[0] for cookie in cookies]


status, cookies = ask("GET", None, {})
print("Page=%d" % status, flush=True)
token = [cookie.partition("=")[2] for cookie in cookies if cookie.startswith("_xsrf=")]
form = urllib.parse.urlencode({"password": os.urandom(16).hex(), "_xsrf": "".join(token)})
headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "; ".join(cookies)}
print("Wrong=%d" % ask("POST", form, headers)[0], flush=True)
'@ -replace "`r", ''

# Import the core packages of the lock. They write nothing into the environment, and read no settings of this user.
function Assert-Import {
    $modules = @(foreach ($line in $Lock) {
            $name = ($line -split '==')[0]
            if ($CoreModules.ContainsKey($name)) { $CoreModules[$name] }
        })
    if (-not $modules.Count) { return }
    Write-StepProgress importing-packages 'Importing the new packages'
    $variables = @{
        IPYTHONDIR = Join-Path $CacheFolder 'ipython'; MPLCONFIGDIR = Join-Path $CacheFolder 'matplotlib'
        MATPLOTLIBRC = $null; MPLBACKEND = $null
    }
    $arguments = @('-I', '-B', '-X', 'utf8', '-c', $ImportWithPython) + $modules
    Invoke-Program (Get-EnvironmentProgram 'python.exe') $arguments $variables -Code packages-not-importable -Text (
        'the installed packages cannot be imported ({output}). Set a different packages.lock or python.version in ' +
        'the inventory, then try again')
}

# This host has only the hash of the password, so it cannot log in. But a server that cannot compare passwords does not
# refuse a wrong one as it must: with 401.
function Assert-Login {
    $address = '127.0.0.1'
    if ($Settings.notebook.ip -ne '*') { $address = $Settings.notebook.ip }
    $arguments = '-I', '-B', '-X', 'utf8', '-c', $LoginWithPython, $address, [string]$Settings.notebook.port
    Invoke-Program (Get-ServerProgram) $arguments -Accept 0, 1 -Quiet
    $status = @{ Page = 'no answer'; Wrong = 'no answer' }
    foreach ($line in $Run.Output) {
        if ($line -cmatch '\A(Page|Wrong)=([0-9]{3})\z') { $status[$Matches[1]] = $Matches[2] }
    }
    if ($status.Page -eq '200' -and $status.Wrong -eq '401') { return }
    throw (New-Failure login-broken ('nobody can log in to the server: the status of its login page is {page} ' +
            '(expected 200), and the status of a login with a wrong password is {wrong} (expected 401). Fix the ' +
            'error that the server log ({log}) shows, or set a different packages.lock in the inventory, then try ' +
            'again') @{
            page = $status.Page; wrong = $status.Wrong; log = $ServerLog
        })
}
