# ---- prelude: held_files ---------------------------------------------------------------------------
# Open, move, replace, and remove files that other programs may be using.

# A virus scanner opens each new file, for seconds or up to a minute. Meanwhile Windows refuses to write, move, replace,
# or remove the file, and to move the folders above it.

$HeldPatience = 60                                       # for how many seconds to try again
$StillHeld = @{}                                         # paths that were held to the end: this run does not wait again

# How Windows refuses it: access denied (a folder with an open file, or a file that is removed when it is closed),
# sharing and lock violations, folder not empty (a file in it is removed when it is closed), busy, the three errors of
# a replacement, and a file that is mapped. Source: "System Error Codes" on learn.microsoft.com.
$HeldCodes = '80070005', '80070020', '80070021', '80070091', '800700aa', '80070497', '80070498', '80070499', '800704c8'

# Programs of virus scanners, by the name of their process.
$Scanners = @{
    MsMpEng = 'Microsoft Defender Antivirus'; mcshield = 'McAfee or Trellix Endpoint Security'
    ccSvcHst = 'Symantec Endpoint Protection'; ekrn = 'ESET'; avp = 'Kaspersky'; NTRtScan = 'Trend Micro Apex One'
    CSFalconService = 'CrowdStrike Falcon'; SentinelAgent = 'SentinelOne'
}

# Replace a file by another one, in one operation. After a power failure, there is the old file or the new one.
function Move-Over([string]$New, [string]$Path) { Invoke-FileChange 'replace' $New $Path }

# Copy a file to a new one, which is on the disk before the record names it, or before the file that it restores.
function Copy-File([string]$From, [string]$Path) {
    [IO.File]::Copy($From, $Path)
    Invoke-FileChange 'flush' $Path
}

# Windows keeps what is written in memory at first, but it writes names of files to the disk in their order: the new
# name would be there with nothing or zeros in the file. Only a file that can be written can be flushed.
function Write-ThroughCache([string]$Path) {
    if ([IO.File]::GetAttributes($Path) -band [IO.FileAttributes]::ReadOnly) { return }
    $stream = [IO.File]::Open($Path, 'Open', 'ReadWrite', 'ReadWrite, Delete')
    try { $stream.Flush($true) } finally { $stream.Close() }
}

function Remove-SingleFile([string]$Path) {
    if (-not [IO.File]::Exists($Path)) { return }
    Clear-ReadOnly $Path
    Invoke-FileChange 'remove-file' $Path
}

# Windows does not remove what is read-only.
function Clear-ReadOnly([string]$Path) {
    $attributes = [IO.File]::GetAttributes($Path)
    if ($attributes -band [IO.FileAttributes]::ReadOnly) {
        [IO.File]::SetAttributes($Path, ($attributes -band -bnot [IO.FileAttributes]::ReadOnly))
    }
}

# Make one of the changes of Edit-Path, as soon as no other program prevents it. $With is what the change needs.
function Invoke-FileChange {
    param([string]$Change, [string]$Path, $With)
    $wait = @{ Path = $Path; Watch = [Diagnostics.Stopwatch]::StartNew(); Pause = 50; Reported = $false; Done = 0 }
    $codes = $HeldCodes
    if ($Change -eq 'remove-tree') { $codes += '80070002', '80070003' }   # not found: a program removed it meanwhile
    while ($true) {
        try {
            Edit-Path $Change $Path $With
            # Windows removes a file that a program has open only when that program closes it.
            if ($Change -ne 'remove-file' -or -not [IO.File]::Exists($Path)) { return }
            $cause = New-Failure file-still-open '{path} is still open in another program' @{ path = $Path }
        }
        catch {
            if (-not (Test-WindowsError $_.Exception $codes)) { throw }
            if ($Change -eq 'remove-tree') { Reset-Wait $wait $With.Count }
            $cause = $_.Exception
        }
        if ($StillHeld[$Path] -or $wait.Watch.Elapsed.TotalSeconds -ge $HeldPatience) {
            $StillHeld[$Path] = $true
            $failure = Get-HeldFailure $Path $cause
            throw $failure
        }
        Wait-Holder $wait
    }
}

# A replacement can fail halfway: Windows has then removed the old file, and the new one still has its own name.
function Edit-Path {
    param([string]$Change, [string]$Path, $With)
    switch ($Change) {
        'open' { $With.Stream = [IO.File]::Open($Path, 'OpenOrCreate', 'ReadWrite', 'Read') }
        'flush' { Write-ThroughCache $Path }
        'replace' {
            Write-ThroughCache $Path
            if ([IO.File]::Exists($With)) { [IO.File]::Replace($Path, $With, [NullString]::Value) }
            else { [IO.File]::Move($Path, $With) }
        }
        'move-folder' { [IO.Directory]::Move($Path, $With) }
        'remove-file' { [IO.File]::Delete($Path) }
        'remove-folder' { [IO.Directory]::Delete($Path, $false) }
        'remove-tree' { Remove-Tree $With }
    }
}

# Each file that could be removed since the last attempt restarts the time.
function Reset-Wait($Wait, [int]$Done) {
    if ($Done -eq $Wait.Done) { return }
    $Wait.Done = $Done
    $Wait.Pause = 50
    $Wait.Watch.Restart()
}

# The pauses grow from a twentieth of a second to five seconds. The wait is reported once, when it has taken a second.
function Wait-Holder($Wait) {
    if (-not $Wait.Reported -and $Run.Step -and $Wait.Pause -ge 800) {
        $Wait.Reported = $true
        Write-StepProgress waiting-for-holder 'Waiting for another program to release {path}' @{ path = $Wait.Path }
    }
    Start-Pause $Wait.Pause
    $Wait.Pause = [Math]::Min(2 * $Wait.Pause, 5000)
}

function Start-Pause([int]$Milliseconds) { [Threading.Thread]::Sleep($Milliseconds) }

# Return the name of what probably holds the path: a program that runs in this folder, or a virus scanner; or nothing.
function Get-Holder([string]$Path) {
    $processes = @(Get-Process)
    foreach ($process in $processes) {
        if ($process.Path -and (Test-Below $process.Path $Path)) { return $process.Path }
    }
    foreach ($process in $processes) {
        if ($Scanners.ContainsKey($process.Name)) { return $Scanners[$process.Name] }
    }
}

function Get-HeldFailure([string]$Path, [Exception]$Exception) {
    $values = @{ path = $Path; seconds = $HeldPatience; folder = Split-Path -Parent $Path }
    $holder = Get-Holder $Path
    if ($holder) {
        $values.program = $holder
        return New-Failure file-held-by ('could not open, move, replace, or remove {path} within {seconds} seconds: ' +
            '{cause}. {program} is probably using it. Stop {program}, or exclude {folder} from its scans, then ' +
            'try again') $values -Cause $Exception.GetBaseException()
    }
    New-Failure file-held ('could not open, move, replace, or remove {path} within {seconds} seconds: {cause}. ' +
        'Another program, such as a virus scanner, may be using it, or this account may not be allowed to change ' +
        'it. Stop that program, exclude {folder} from its scans, or grant the permission, then try again') `
        $values -Cause $Exception.GetBaseException()
}
