# ---- prelude: events, all that this script says --------------------------------------------------------

# An event is one line of JSON, in ASCII whatever it says. n counts up, so that a reader sees a loss.
# A test leaves nothing on the host; other runs keep their events there too, before they are sent.
function Write-Event([string]$Event, [hashtable]$Data = @{}) {
    $Run.Events++
    $fields = [ordered]@{ v = 1; n = $Run.Events; time = [DateTime]::UtcNow.ToString('o'); step = $Run.Step; event = $Event }
    foreach ($name in $Data.Keys | Sort-Object) { $fields[$name] = $Data[$name] }
    $json = ConvertTo-AsciiJson (ConvertTo-Json $fields -Compress -Depth 4)
    if ($Run.EventFile -and -not $Run.Unkept) {
        # From the first that could not be kept on none is: behind a torn line the others would be lost.
        try { [IO.File]::AppendAllText($Run.EventFile, $json + "`n", $Utf8) }
        catch { $Run.Unkept = "this run's events could not be kept in $($Run.EventFile): $_. $(Get-Remedy $_.Exception 'Mend that, then run this again')" }
    }
    # A stopped pipeline takes no output any more; the file has the event.
    if (-not $Run.Stopped) { New-Object PSObject -Property @{ NbserverEvent = $json } }
}

# JSON that means the same in every encoding. Line feeds stay.
function ConvertTo-AsciiJson([string]$Json) {
    [regex]::Replace($Json, '[^\n\x20-\x7e]', { param($match) '\u{0:x4}' -f [int][char]$match.Value })
}

# What happens on a host is kept there as evidence: without it a run goes no further.
function Assert-Kept {
    if ($Run.Unkept) { throw $Run.Unkept }
}

# The end of the pipe: events leave as their JSON, and whatever else a step let out becomes a log event,
# so that no program's output can pass for an event.
filter Out-Event {
    if ($_ -is [Management.Automation.PSCustomObject] -and $_.PSObject.Properties['NbserverEvent']) { $_.NbserverEvent }
    else { (Write-Event log @{ text = [string]$_ }).NbserverEvent }
}

# Sends again what run $Run.Id wrote after event $After, and goes on while that run holds the lock.
function Send-EventsAfter([int]$After) {
    $file = Join-Path $StateFolder "runs\$($Run.Id)\events.jsonl"
    if (-not (Test-Path -LiteralPath $file)) { throw "this host knows no run '$($Run.Id)'" }
    $sent = $After
    do {
        # Asked before reading: what was written before the lock was given back is then read for certain.
        $running = (Get-LockOwner) -cmatch "^run $([regex]::Escape($Run.Id))\b"
        $lines = @(Read-CompleteLines $file)
        for ($i = $sent; $i -lt $lines.Count; $i++) { $lines[$i] }
        if ($lines.Count -gt $sent) { $sent = $lines.Count }
        if ($running) { [Threading.Thread]::Sleep(500) }
    } while ($running)
}

# Lines that end; a line still being written, or torn by a crash, is left out.
function Read-CompleteLines([string]$File) {
    $stream = [IO.File]::Open($File, 'Open', 'Read', 'ReadWrite')
    try { $text = (New-Object IO.StreamReader($stream, $Utf8)).ReadToEnd() } finally { $stream.Close() }
    $text.Substring(0, $text.LastIndexOf([char]10) + 1).Split([char[]]"`n", [StringSplitOptions]::RemoveEmptyEntries)
}

# The last lines of a file that others can write, such as the server's log: not of what a link leads to, and from the
# last 16 KB only.
function Read-LastLines([string]$File, [int]$Count) {
    $links = @(Get-Links $File)
    if ($links.Count) { return "it was not read, because $($links[0]) is a link" }
    $stream = [IO.File]::Open($File, 'Open', 'Read', 'ReadWrite, Delete')
    try {
        if ($stream.Length -gt 16384) { [void]$stream.Seek($stream.Length - 16384, 'Begin') }
        $bytes = New-Object byte[] 16384
        $size = $stream.Read($bytes, 0, $bytes.Length)
    }
    finally { $stream.Close() }
    $Utf8.GetString($bytes, 0, $size).Split([char[]]"`n", [StringSplitOptions]::RemoveEmptyEntries) | Select-Object -Last $Count
}
