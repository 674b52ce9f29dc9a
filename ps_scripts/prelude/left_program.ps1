# ---- prelude: left_program -------------------------------------------------------------------------
# Stop a program that an interrupted run left running.

# Windows releases the lock of a run that is killed, for example because memory is short. Its program continues, and
# would change the same files as the next run. So the second line of the lock file names it while it runs.
$EndedPrograms = 'python.exe', 'uv.exe', 'openssl.exe'   # others, such as installers, are not interrupted
$LeftSeconds = 300

Add-Hook Started { Stop-LeftProgram }

# Return the text that names a process: its ID, and when it started.
function Get-ProgramMark($Process) { "program $($Process.Id) $($Process.StartTime.ToUniversalTime().Ticks)" }

# Return the program, then what it has started, at any depth. Windows reuses process IDs, so the times count as well.
# Win32_Process rounds start times to microseconds, so times within one second count as equal.
function Get-LeftProcess([int]$Id, [long]$Started) {
    $second = 10000000
    $all = @(Get-CimInstance -ClassName Win32_Process | Where-Object {
            $_.CreationDate -and $_.CreationDate.ToUniversalTime().Ticks -gt $Started - $second
        })
    $program = @($all | Where-Object { $_.ProcessId -eq $Id })
    if ($program -and $program[0].CreationDate.ToUniversalTime().Ticks -gt $Started + $second) { return }
    $ids = @($Id)
    for ($i = 0; $i -lt $ids.Count; $i++) {
        $ids += @($all | Where-Object { $_.ParentProcessId -eq $ids[$i] -and $ids -notcontains $_.ProcessId } |
                ForEach-Object { [int]$_.ProcessId })
    }
    $below = @($all | Where-Object { $_.ProcessId -ne $Id -and $ids -contains $_.ProcessId })
    # If it has exited, another process may have had its ID: only programs of these kinds are certainly its own.
    if ($program) { $program + $below } else { $below | Where-Object { $EndedPrograms -contains $_.Name } }
}

# $Run.Left is kept until no program is left: until then, this run may not change anything.
function Stop-LeftProgram {
    if ("$($Run.Left)" -cmatch '\Arun ([0-9A-Za-z-]{1,64}),[^\n]*\nprogram ([0-9]{1,10}) ([0-9]{1,19})\z') {
        Wait-LeftProgram $Matches[1] ([int]$Matches[2]) ([long]$Matches[3])
    }
    $Run.Left = ''
}

function Wait-LeftProgram {
    param([string]$RunId, [int]$Id, [long]$Started)
    for ($second = 0; $second -lt $LeftSeconds; $second++) {
        $left = @(Get-LeftProcess $Id $Started)
        if (-not $left.Count) { return }
        if (-not $second) { Write-LeftProgram $RunId $left[0] }
        if ($EndedPrograms -contains $left[0].Name) { $left | ForEach-Object { Stop-LeftProcess $_.ProcessId } }
        Start-Pause 1000
    }
    throw (New-Failure left-program-runs ('run {run} was interrupted, and a program that it started is still ' +
            'running (process {id}). Wait for this program to finish, or stop it, then try again') @{
            run = $RunId; id = $left[0].ProcessId
        })
}

function Write-LeftProgram([string]$RunId, $Process) {
    Write-Notice warning waiting-for-left-program ('run {run} was interrupted, but a program that it started is ' +
        'still running (process {id}). Waiting for it to exit') @{ run = $RunId; id = $Process.ProcessId }
}

function Stop-LeftProcess([int]$Id) {
    try { (Get-Process -Id $Id -ErrorAction Stop).Kill() }
    catch {
        $values = @{ id = $Id; reason = "$_" }
        if (Get-Process -Id $Id -ErrorAction SilentlyContinue) { return }   # Wait-LeftProgram reports it
        Write-Notice log process-gone 'process {id} had already exited: {reason}' $values
    }
}
