# ---- prelude: processes ----------------------------------------------------------------------------
# Run the server in the background, and recognize its process in later runs.

# The server runs until the user logs off. The first line of $ProcessFile is `PID CREATED`: the process ID, and when the
# process was created, as a FILETIME in UTC. Windows reuses process IDs; both values together identify one process. The
# rest of the file is the text that the process was started for: if the text changes, the server must be started again.

# Return the process that the file names if it still runs, else nothing.
function Get-Background {
    if (-not (Test-Path -LiteralPath $ProcessFile)) { return }
    $line = [IO.File]::ReadAllLines($ProcessFile, $Utf8) | Select-Object -First 1
    if ($line -cnotmatch '\A[1-9][0-9]{0,9} [1-9][0-9]{0,18}\z') { return }
    # If another account's process has the ID now, Windows may refuse to report when it was created.
    try {
        $process = Get-Process -Id ($line -split ' ')[0]
        if ((Get-BackgroundLine $process) -eq $line) { $process }
    }
    catch { return }
}

function Get-BackgroundLine($Process) { "$($Process.Id) $($Process.StartTime.ToFileTimeUtc())" }

# Return true if the process runs and was started for this text.
function Test-Background([string]$Text) {
    $process = Get-Background
    $process -and (Test-TextFile $ProcessFile "$(Get-BackgroundLine $process)`n$Text")
}

# Start the program through the shell of Windows, without a window: it inherits no handles of this script, and continues
# when this script has finished. The record has the file, so that undo stops the process.
function Start-Background {
    param([string]$File, [string[]]$Arguments, [string]$Folder, [string]$Text)
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
    catch {
        if (-not $process.HasExited) { $process.Kill() }
        throw
    }
    finally { $process.Dispose() }
}

# Stop every process whose program is in our folder: kernels can outlive their server, and a run that was cut off may
# have started a server without writing the file. The python.exe of an environment starts another one, outside of the
# folder, which exits a moment later and then closes the log: wait for that, for at most ten seconds.
function Stop-Background {
    Stop-ProcessBelow $Programs
    for ($try = 0; $try -lt 50 -and (Test-Open $ServerLog); $try++) {
        if ($try -eq 25) { Write-StepProgress waiting-for-server-exit 'Waiting for the notebook server to exit' }
        [Threading.Thread]::Sleep(200)
    }
}

# Return true if a program has the file open.
function Test-Open([string]$Path) {
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    try { [IO.File]::Open($Path, 'Open', 'ReadWrite', 'None').Close() } catch [IO.IOException] { return $true }
    $false
}

$Restore.process = {
    param($File)
    Stop-Background
    foreach ($path in $File, "$File.new") { Remove-SingleFile $path }
}

# Undo starts with the newest change. The files of the server may be newer than the server: it is stopped first.
function Stop-RecordedBackground {
    if (Test-Record 'process' $ProcessFile) { Stop-Background }
}

Add-Hook BeforeUndo { Stop-RecordedBackground }
