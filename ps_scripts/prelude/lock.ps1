# ---- prelude: lock ---------------------------------------------------------------------------------
# Allow only one run at a time to change this host.

# Take the lock. Windows releases it when the process that holds it exits, for whatever reason. Get-LockOwner in another
# process may have the file open for a moment, so the lock is tried for half a second.
function Enter-Lock {
    for ($try = 1; -not $Run.Lock; $try++) {
        try { $Run.Lock = [IO.File]::Open($LockFile, 'OpenOrCreate', 'ReadWrite', 'Read') }
        catch [IO.IOException] {
            if ($try -ge 6) {
                $failure = New-LockFailure $_.Exception
                throw $failure
            }
            [Threading.Thread]::Sleep(100)
        }
    }
    $Run.Left = (New-Object IO.StreamReader($Run.Lock, $Utf8)).ReadToEnd()
    $Run.Owner = "run $($Run.Id), mode $($Run.Mode), by '$($Run.Operator)', process $PID, " +
    "since $([DateTime]::UtcNow.ToString('o'))"
    Write-Lock ($Run.Left -replace '\A[^\n]*')
}

# Write who holds the lock, and what else is known about it: on a second line, the program that runs (left_program).
function Write-Lock([string]$More) {
    $bytes = $Utf8.GetBytes($Run.Owner + $More)
    $Run.Lock.SetLength(0)
    $Run.Lock.Write($bytes, 0, $bytes.Length)
    $Run.Lock.Flush()
}

function New-LockFailure([Exception]$Cause) {
    $owner = Get-LockOwner
    if ($owner) {
        return New-Failure run-in-progress ('another run is changing this host: {owner}. Wait for it to finish, then ' +
            'try again') @{ owner = $owner }
    }
    New-Failure lock-not-opened ('could not open {file}: {cause}. Fix this error (for example, close the program ' +
        'that is using this file), then try again') @{ file = $LockFile } -Cause $Cause
}

# A run that was refused while the program of a killed run was still there leaves the file as it found it.
function Exit-Lock {
    if (-not $Run.Lock) { return }
    $Run.Owner = $Run.Left
    Write-Lock
    $Run.Lock.Close()
    $Run.Lock = $null
}

# Return which run holds the lock, or nothing. Only a lock that cannot be taken has an owner: the text in the file may
# be of a run that was killed.
function Get-LockOwner {
    if (-not (Test-Path -LiteralPath $LockFile)) { return }
    try { [IO.File]::Open($LockFile, 'Open', 'ReadWrite', 'Read').Close() }
    catch [IO.IOException] {
        $stream = [IO.File]::Open($LockFile, 'Open', 'Read', 'ReadWrite')
        try { ((New-Object IO.StreamReader($stream, $Utf8)).ReadToEnd() -split "`n")[0] } finally { $stream.Close() }
    }
}

# Return the ID of the run that was cut off while it held the lock: a run that finishes empties the file.
function Get-CutOffRun {
    $text = ''
    if (Test-Path -LiteralPath $LockFile) { $text = [IO.File]::ReadAllText($LockFile, $Utf8) }
    if ($text -cmatch '\Arun ([0-9A-Za-z-]{1,64}),') { $Matches[1] } else { 'unknown' }
}
