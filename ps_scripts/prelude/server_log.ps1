# ---- prelude: server_log ---------------------------------------------------------------------------
# Send the log of the notebook server: mode logs.

# A line of the envelope says how many lines, since when, and after which place in the log (the cursor). If it also says
# how long to wait for more, that is 60 seconds at most, and the sender asks again: when a connection is lost, nothing
# continues to run here. What could be a login token, a password, or a hash of one is masked.

$LongestLog = 4000000                                    # bytes that are read at once
$BeginningOfLog = 40                                     # bytes with the time of the first line
$LogSent = New-Object IO.MemoryStream

$Modes.logs = {
    Assert-Installed
    $Run.Step = ''
    $watch = [Diagnostics.Stopwatch]::StartNew()
    while ($true) {
        Send-LogLine @(Read-NewLogLine)
        if ($watch.Elapsed.TotalSeconds -ge $Run.Log.Seconds) { break }
        [Threading.Thread]::Sleep(1000)
    }
    if ($Run.Log.Cursor -ne '-') {
        $bytes = $Utf8.GetBytes($Run.Log.Cursor)
        $stream = New-Object IO.MemoryStream
        $stream.Write($bytes, 0, $bytes.Length)
        Write-Content @{ Path = 'cursor'; Offset = 0; Length = $bytes.Length } $stream
    }
}

function Send-LogLine([string[]]$Lines) {
    if (-not $Lines.Count) { return }
    $masked = foreach ($line in $Lines) { Hide-LogSecret $line }
    $bytes = $Utf8.GetBytes((@($masked) -join "`n") + "`n")
    $start = $LogSent.Length
    [void]$LogSent.Seek($start, 'Begin')
    $LogSent.Write($bytes, 0, $bytes.Length)
    Write-Content @{ Path = 'log'; Offset = $start; Length = $bytes.Length } $LogSent
}

# Return the complete lines after the cursor, or the last ones, and move the cursor. The cursor names the beginning of
# the file, which has the time of its first line: the server starts a new file whenever it starts.
function Read-NewLogLine {
    if (-not [IO.File]::Exists($ServerLog)) { return }
    $stream = Open-Notebook $ServerLog
    try {
        $size = $stream.Length
        if ($size -lt $BeginningOfLog) { return }
        [void]$stream.Seek(0, 'Begin')
        $name = Get-StartSha256 $stream $BeginningOfLog
        $is = $Run.Log.Cursor
        $start = [long]0
        if ($is -cmatch "\A${name}:([0-9]{1,15})\z" -and [long]$Matches[1] -le $size) { $start = [long]$Matches[1] }
        if ($size - $start -gt $LongestLog) { $start = $size - $LongestLog }
        $bytes = Read-LogPart $stream $start ($size - $start)
    }
    finally { $stream.Close() }
    $end = $bytes.Length
    while ($end -and $bytes[$end - 1] -ne 10) { $end-- }
    $Run.Log.Cursor = "${name}:$($start + $end)"
    if (-not $end) { return }
    $lines = @($Utf8.GetString($bytes, 0, $end - 1) -replace '\r\z', '' -split "\r?\n")
    if ($is -ne '-') { $lines } else { Select-LogLine $lines | Select-Object -Last $Run.Log.Lines }
}

# The server may write while this reads; what is behind $Count is read next time.
function Read-LogPart {
    param([IO.Stream]$Stream, [long]$Start, [int]$Count)
    [void]$Stream.Seek($Start, 'Begin')
    $bytes = New-Object byte[] $Count
    $have = 0
    do {
        $size = $Stream.Read($bytes, $have, $Count - $have)
        $have += $size
    } while ($size)
    , $bytes
}

# Return the lines that the server wrote since the time of the envelope. The server writes the local time.
function Select-LogLine([string[]]$Lines) {
    if ($Run.Log.Since -eq '-') { return $Lines }
    $since = ConvertFrom-UtcTime $Run.Log.Since
    $shown = $false
    foreach ($line in $Lines) {
        if ($line -cmatch '\A\[[A-Z] ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})') {
            $time = [DateTime]::ParseExact($Matches[1], 'yyyy-MM-dd HH:mm:ss',
                [Globalization.CultureInfo]::InvariantCulture, 'AssumeLocal, AdjustToUniversal')
            $shown = $time -ge $since
        }
        if ($shown) { $line }
    }
}

# Return a line of at most 4,000 characters, without secrets.
function Hide-LogSecret([string]$Line) {
    $text = $Line
    if ($text.Length -gt 4000) { $text = $text.Substring(0, 4000) + ' ...' }
    $text = $text -creplace '([?&;](?:token|password|code|_xsrf)=)[^\[\]&;\s"]+', '$1***'
    $text = $text -creplace '([Aa]uthorization[^A-Za-z]+(?:[Tt]oken|[Bb]earer|[Bb]asic) +)[^\s"]+', '$1***'
    $text -creplace '\b(argon2|sha1|sha256):[A-Za-z0-9$:+/=,-]{8,}', '$1:***'
}
