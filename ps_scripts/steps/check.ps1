# ---- step: check -----------------------------------------------------------------------------------
# Check that the server presents its certificate and refuses requests without a password.

# The server's files are compared in the step notebook; this step asks the server itself, over TLS 1.2.

$ServerPatience = 180                                    # for how many seconds to wait for an answer

# Report requests that the server does not refuse, although they have no password.
function Compare-Refusal {
    $status = Format-Status (Get-StatusWithoutPassword)
    if (-not (Test-Refused $status)) {
        Add-Difference open-without-password (
            'HTTP status of GET /api/kernels on TCP port {port} without the password') $status '401 or 403' @{
            port = $Settings.notebook.port
        }
    }
    $status = Format-Status (Get-StatusWithRandomToken)
    if (-not (Test-Refused $status)) {
        Add-Difference open-with-random-token (
            'HTTP status of GET /api/kernels on TCP port {port} with a random token') $status '401 or 403' @{
            port = $Settings.notebook.port
        }
    }
}

function Format-Status([string]$Status) { if ($Status) { $Status } else { 'no answer' } }

# A server that answers such requests lets everyone run programs, so a person must find out why. $Statuses are those
# that Wait-Server returns.
function Assert-ServerClosed([string[]]$Statuses) {
    foreach ($status in $Statuses) {
        if (Test-Refused $status) { continue }
        $values = @{
            port = $Settings.notebook.port; status = $status; log = $ServerLog; folder = Get-EnvironmentFolder
        }
        $failure = New-OpenServerFailure $values
        throw $failure
    }
}

# Return how the server answers both requests.
function Get-ServerStatus {
    if (-not (Get-ServerFingerprint)) { return }
    Get-StatusWithoutPassword
    Get-StatusWithRandomToken
}

# Wait until the server answers both requests, and return the statuses. On a slow host, its start takes a minute. A
# server that hangs makes each question take ten seconds, so the seconds are counted, not the questions.
function Wait-Server {
    $port = $Settings.notebook.port
    $watch = [Diagnostics.Stopwatch]::StartNew()
    $report = 5
    while ($watch.Elapsed.TotalSeconds -lt $ServerPatience) {
        $statuses = @(Get-ServerStatus | Where-Object { $_ })
        if ($statuses.Count -eq 2) { return $statuses }
        $second = [int]$watch.Elapsed.TotalSeconds
        if (-not (Test-ServerRunning) -and $second -gt 20) { break }
        if ($second -ge $report) {
            Write-StepProgress waiting-for-server 'Waiting for the server on TCP port {port}' @{
                port = $port
            } -Done $second -Total $ServerPatience -Unit seconds
            $report = $second + 10
        }
        [Threading.Thread]::Sleep(1000)
    }
    if (-not (Test-Path -LiteralPath $ServerLog)) {
        throw (New-Failure server-silent-without-log ('the notebook server is not responding on TCP port {port} and ' +
                'has not written to its log ({log}). Find the error in the Application log in Event Viewer, fix it, ' +
                'then try again') @{
                port = $port; log = $ServerLog
            })
    }
    throw (New-Failure server-silent ('the notebook server is not responding on TCP port {port}. Fix the error that ' +
            'its log ({log}) shows, then try again. Last lines of the log: {lines}') @{
            port = $port; log = $ServerLog; lines = @(Read-LastLine $ServerLog 3) -join ' / '
        })
}

Add-Step check 'The server presents its certificate and refuses requests without the password' -Test {
    $should = 'a new certificate'
    $certificate = Get-ServerCertificate
    if ($certificate) { $should = Get-Fingerprint $certificate }
    Wait-YoungServer
    $is = Get-ServerFingerprint
    if ($is -ne $should) {
        Add-Difference port-certificate 'certificate on TCP port {port}' $is $should @{ port = $Settings.notebook.port }
    }
    if ($is) { Compare-Refusal }
    $others = 'restart', 'set-password', 'rotate-certificate', 'restore-key'   # modes that complete no switch
    if ((Test-OpenSwitch) -and $others -notcontains $Run.Mode) {
        Add-Difference switch-open 'verification of the server' 'not finished' 'finished'
    }
} -Apply {
    Assert-ServerClosed (Wait-Server)
}
