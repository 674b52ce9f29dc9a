# ---- prelude: a program in the background, which runs the server in user scope -------------------------
# It runs until the user logs off. Its file has a line `PID CREATED`, the second as a FILETIME in UTC, by which
# the process is known again and no other is taken for it, and behind it the text that it was started for.

# The process of the file where it still runs; else nothing.
function Get-Background {
    if (-not (Test-Path -LiteralPath $ProcessFile)) { return }
    $line = [IO.File]::ReadAllLines($ProcessFile, $Utf8) | Select-Object -First 1
    if ($line -cnotmatch '\A[1-9][0-9]{0,9} [1-9][0-9]{0,18}\z') { return }
    # One of somebody else, which has got the number of ours, may not say when it was created.
    try {
        $process = Get-Process -Id ($line -split ' ')[0]
        if ((Get-BackgroundLine $process) -eq $line) { $process }
    }
    catch { return }
}

function Get-BackgroundLine($Process) { "$($Process.Id) $($Process.StartTime.ToFileTimeUtc())" }

# Whether it runs, and was started for this text.
function Test-Background([string]$Text) {
    $process = Get-Background
    $process -and (Test-TextFile $ProcessFile "$(Get-BackgroundLine $process)`n$Text")
}

# Kind process: its file. Windows' shell starts the program, without a window: so it inherits nothing that
# this script has open, and lives on when the script and whoever reads its events have ended.
function Start-Background([string]$File, [string[]]$Arguments, [string]$Folder, [string]$Text) {
    Save-Before 'process' $ProcessFile $null
    Stop-Background
    $start = New-Object Diagnostics.ProcessStartInfo
    $start.FileName = $File
    $start.Arguments = @($Arguments | ForEach-Object { Format-Argument $_ }) -join ' '
    $start.WorkingDirectory = $Folder
    $start.UseShellExecute = $true
    $start.WindowStyle = 'Hidden'
    $process = [Diagnostics.Process]::Start($start)
    try { Write-TextFile $ProcessFile "$(Get-BackgroundLine $process)`n$Text" }
    catch { if (-not $process.HasExited) { $process.Kill() }; throw }
    finally { $process.Dispose() }
}

# With all that runs from our folder: its kernels are processes of their own and can outlive it, and a run that
# was cut off may have left one without a file.
# The Python of an environment runs another one, elsewhere, which ends with it a moment later: then the log is closed.
function Stop-Background {
    Stop-ProcessBelow $Programs
    for ($try = 0; $try -lt 50 -and (Test-Open $ServerLog); $try++) { [Threading.Thread]::Sleep(200) }
}

# Whether a program has the file open.
function Test-Open([string]$Path) {
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    try { [IO.File]::Open($Path, 'Open', 'ReadWrite', 'None').Close() } catch [IO.IOException] { return $true }
    $false
}

$Restore.process = {
    param($File)
    Stop-Background
    foreach ($one in $File, "$File.new") { if (Test-Path -LiteralPath $one) { Remove-Item -LiteralPath $one -Force } }
}

# Undo goes backwards, and what the program runs from came first: it is ended before.
function Stop-RecordedBackground {
    if (Test-Record 'process' $ProcessFile) { Stop-Background }
}
