# ---- prelude: events -------------------------------------------------------------------------------
# Report events: lines of JSON, which are the only output of this script.

# The number n increases by one per event, so that a reader notices a gap. Only runs that may change the
# host ($ChangingModes) write their events to a file on the host, before they send them.
function Write-Event([string]$Event, [hashtable]$Data = @{}) {
    $fields = [ordered]@{
        v = 1; n = $Run.Events + 1; time = [DateTime]::UtcNow.ToString('o'); step = $Run.Step; event = $Event
    }
    foreach ($name in $Data.Keys | Sort-Object) { $fields[$name] = $Data[$name] }
    $json = ConvertTo-AsciiJson (ConvertTo-Json $fields -Compress -Depth 4)
    if ($Run.EventFile -and -not $Run.NotKept) { Save-Event $json }
    $Run.Events++
    # A stopped pipeline accepts no output; the file has the event.
    if (-not $Run.Stopped) { $Run.Pipeline.WriteObject($json) }
}

# Anything else that a step outputs becomes a log event, so that it cannot be mistaken for an event.
filter Write-OtherOutput { Write-Event log @{ text = [string]$_ } }

# The file stays open until the run ends, so no other program can prevent the next event. After the first event that
# cannot be written, none is: those behind a torn line would be lost.
function Save-Event([string]$Json) {
    try {
        if (-not $Run.EventStream) {
            $Run.EventStream = New-Object IO.FileStream $Run.EventFile, 'Append', 'Write', 'Read', 1   # no buffer
        }
        $bytes = $Utf8.GetBytes($Json + "`n")
        $Run.EventStream.Write($bytes, 0, $bytes.Length)
    }
    catch {
        $Run.NotKept = New-Failure events-not-kept ('could not write the events of this run to {file}: {cause}. Fix ' +
            'this error (for example, free some disk space), then try again') @{
            file = $Run.EventFile
        } -Cause $_.Exception
    }
}

function Close-EventFile {
    if ($Run.EventStream) { $Run.EventStream.Close() }
    $Run.EventStream = $null
}

# The events on the host are evidence: without them, a run does not continue.
function Assert-EventsKept {
    if ($Run.NotKept) {
        throw $Run.NotKept
    }
}

# Return JSON that means the same in every encoding.
function ConvertTo-AsciiJson([string]$Json) {
    [regex]::Replace($Json, '[^\n\x20-\x7e]', { param($match) '\u{0:x4}' -f [int][char]$match.Value })
}

# Send what run $Run.Id wrote after event $After, and continue as long as that run holds the lock.
function Send-EventsAfter([int]$After) {
    $file = Join-Path $StateFolder "runs\$($Run.Id)\events.jsonl"
    if (-not (Test-Path -LiteralPath $file)) {
        throw (New-Failure no-such-run ('this host has no run "{run}". Check the run ID: it is the name of the run ' +
                'directory on the workstation') @{ run = $Run.Id })
    }
    $sent = $After
    do {
        # The lock is checked before the file is read, so that everything written before its release is read.
        $running = (Get-LockOwner) -cmatch "^run $([regex]::Escape($Run.Id)),"
        foreach ($line in @(Read-CompleteLine $file)) {
            $number = Get-EventNumber $line
            if ($number -le $sent) { continue }
            $Run.Pipeline.WriteObject($line)
            $sent = $number
        }
        if ($running) { [Threading.Thread]::Sleep(500) }
    } while ($running)
}

function Get-EventNumber([string]$Line) {
    if ($Line -cmatch '\A\{"v":1,"n":([0-9]{1,9}),') { [int]$Matches[1] } else { 0 }
}

# Return the lines that end with a line feed. A line that is still being written, or torn by a crash, does not.
function Read-CompleteLine([string]$File) {
    $stream = [IO.File]::Open($File, 'Open', 'Read', 'ReadWrite')
    try { $text = (New-Object IO.StreamReader($stream, $Utf8)).ReadToEnd() } finally { $stream.Close() }
    $text.Substring(0, $text.LastIndexOf([char]10) + 1).Split([char[]]"`n", [StringSplitOptions]::RemoveEmptyEntries)
}

# Return the last lines of a file that others can write, such as the server's log. Links are not followed, and
# only the last 16 KB are read.
function Read-LastLine([string]$File, [int]$Count) {
    if (@(Get-Link $File).Count) { return '(not read, because its path contains a link)' }
    $stream = [IO.File]::Open($File, 'Open', 'Read', 'ReadWrite, Delete')
    try {
        if ($stream.Length -gt 16384) { [void]$stream.Seek($stream.Length - 16384, 'Begin') }
        $bytes = New-Object byte[] 16384
        $size = $stream.Read($bytes, 0, $bytes.Length)
    }
    finally { $stream.Close() }
    $lines = $Utf8.GetString($bytes, 0, $size).Split([char[]]"`n", [StringSplitOptions]::RemoveEmptyEntries)
    $lines | Select-Object -Last $Count
}
