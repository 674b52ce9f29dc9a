# ---- prelude: one run at a time on this host -----------------------------------------------------------

# Windows itself gives the lock back when the process that holds it ends, however it ends.
function Enter-Lock {
    # Who asks for the owner (Get-LockOwner) has the file open for a moment: that is no other run.
    for ($try = 1; -not $Run.Lock; $try++) {
        try { $Run.Lock = [IO.File]::Open($LockFile, 'OpenOrCreate', 'ReadWrite', 'Read') }
        catch [IO.IOException] {
            if ($try -ge 6) { throw "another run changes this host: $(Get-LockOwner). Wait until it ends, then run this again" }
            [Threading.Thread]::Sleep(100)
        }
    }
    $owner = $Utf8.GetBytes("run $($Run.Id), mode $($Run.Mode), by '$($Run.Operator)', process $PID, since $([DateTime]::UtcNow.ToString('o'))")
    $Run.Lock.SetLength(0)
    $Run.Lock.Write($owner, 0, $owner.Length)
    $Run.Lock.Flush()
}

function Exit-Lock {
    if (-not $Run.Lock) { return }
    $Run.Lock.SetLength(0)
    $Run.Lock.Close()
    $Run.Lock = $null
}

# Who holds the lock, or nothing: the text is emptied when the lock is given back, and a lock that can be
# taken belongs to nobody, whatever its dead owner left in it.
function Get-LockOwner {
    if (-not (Test-Path -LiteralPath $LockFile)) { return }
    try { [IO.File]::Open($LockFile, 'Open', 'ReadWrite', 'Read').Close() }
    catch [IO.IOException] {
        $stream = [IO.File]::Open($LockFile, 'Open', 'Read', 'ReadWrite')
        try { (New-Object IO.StreamReader($stream, $Utf8)).ReadToEnd() } finally { $stream.Close() }
    }
}
