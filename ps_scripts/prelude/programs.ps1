# ---- prelude: programs -----------------------------------------------------------------------------
# Run other programs until they exit, and report their output.

$RestSeconds = 5                                         # for which a program's output is read after it has exited

Add-Hook Started { Remove-TemporaryFolder }              # of a run that was cut off
Add-Hook Finished { Remove-TemporaryFolder }

# Quote one argument of a command line by the rules of Windows: backslashes before a quote are doubled.
function Format-Argument([string]$Text) {
    if ($Text -match '^[^\s"]+$') { return $Text }
    $escaped = [regex]::Replace($Text, '(\\*)"', '$1$1\"')
    '"' + [regex]::Replace($escaped, '(\\+)$', '$1$1') + '"'
}

# Return the processes whose programs are in the folder, at any depth.
function Get-ProcessBelow([string]$Folder) {
    Get-Process | Where-Object { $_.Path -and (Test-Below $_.Path $Folder) }
}

function Stop-ProcessBelow([string]$Folder) {
    foreach ($process in @(Get-ProcessBelow $Folder)) { Stop-OneProcess $process }
}

# A process that exits by itself meanwhile is no failure. One that Windows protects, for example, cannot be stopped.
function Stop-OneProcess($Process) {
    $reason = ''
    try { $Process.Kill() } catch { $reason = "$_" }
    try { $ended = $Process.WaitForExit(10000) }
    catch { $ended = -not @(Get-Process -Id $Process.Id -ErrorAction SilentlyContinue).Count }
    $values = @{ id = $Process.Id; reason = $reason }
    if ($ended -and $reason) { Write-Notice log process-gone 'process {id} had already exited: {reason}' $values }
    elseif ($ended) { return }
    elseif ($reason) {
        Write-Notice warning process-not-killed ('process {id} could not be stopped, and is still running: ' +
            '{reason}') $values
    }
    else {
        Write-Notice warning process-not-exited 'process {id} did not exit within 10 seconds after it was stopped' @{
            id = $Process.Id
        }
    }
}

# Run a program until it exits, and report its output as log events, line by line. If the exit code is not in
# $Accept, the step fails with $Code and $Text. Its values are {program}, {exit_code}, {output} (the errors in the
# output, or its last lines), and those in $Values. With -Quiet, for a program that answers a question, the output goes
# to $Run.Output. A variable in $Environment whose value is $null is removed.
function Invoke-Program {
    param(
        [string]$File, [string[]]$Arguments, [hashtable]$Environment = @{}, [int[]]$Accept = @(0), [switch]$Quiet,
        [string]$Code = 'program-failed',
        [string]$Text = '{program} exited with code {exit_code}: {output}',
        [hashtable]$Values = @{}
    )
    $name = Split-Path -Leaf $File
    $process = [Diagnostics.Process]::Start((New-ProgramStart $File $Arguments $Environment))
    try {
        if ($Run.Lock) { Write-Lock "`n$(Get-ProgramMark $process)" }
        $process.StandardInput.Close()
        $Run.Output = @(Read-ProgramOutput $process $name -Quiet:$Quiet)
        while (-not $process.WaitForExit(500)) { continue }
        $Run.ExitCode = $process.ExitCode
    }
    finally {
        if (-not $process.HasExited) { $process.Kill() }   # this run was stopped
        if ($Run.Lock) { Write-Lock }
        $process.Dispose()
    }
    if ($Accept -notcontains $Run.ExitCode) {
        throw (New-Failure $Code $Text ($Values + @{
                    program = $name; exit_code = $Run.ExitCode; output = Get-ErrorText $Run.Output
                }))
    }
}

function New-ProgramStart {
    param([string]$File, [string[]]$Arguments, [hashtable]$Environment)
    $start = New-Object Diagnostics.ProcessStartInfo
    $start.FileName = $File
    $start.Arguments = @($Arguments | ForEach-Object { Format-Argument $_ }) -join ' '
    $start.WorkingDirectory = $StateFolder
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $start.StandardOutputEncoding = $Utf8
    $start.StandardErrorEncoding = $Utf8
    # Variables of another OpenSSL may name a file that others can write, and that file can name a DLL to load.
    # Python loads OpenSSL too, so they are removed for every program.
    foreach ($name in @($start.EnvironmentVariables.Keys)) {
        if ($name.ToUpperInvariant() -cmatch '^OPENSSL_') { $start.EnvironmentVariables.Remove($name) }
    }
    if ($Run.Lock) {
        foreach ($name in 'TEMP', 'TMP') { $start.EnvironmentVariables[$name] = Get-TemporaryFolder }
    }
    foreach ($name in $Environment.Keys) {
        if ($null -eq $Environment[$name]) { $start.EnvironmentVariables.Remove($name) }
        else { $start.EnvironmentVariables[$name] = $Environment[$name] }
    }
    $start
}

# Return a folder for the temporary files of programs, which a run that may change the host has while it runs. That of
# SYSTEM is C:\Windows\Temp: every user may create files in it, and even in the folders that a program creates in it.
function Get-TemporaryFolder {
    $folder = Join-Path $StateFolder 'temp'
    if (-not (Test-Path -LiteralPath $folder)) { New-ClosedFolder $folder $StateAccess }
    $folder
}

# What a killed run left running may still use it.
function Remove-TemporaryFolder {
    $folder = Join-Path $StateFolder 'temp'
    if ($Run.Left -or -not (Test-Path -LiteralPath $folder)) { return }
    try { Remove-Folder $folder }
    catch {
        Write-Notice log temporary-folder-kept 'could not remove {path}, which the next run removes: {reason}' @{
            path = $folder; reason = "$_"
        }
    }
}

# Return the lines of output and errors, in the order in which they arrive: with -Quiet all, else the last 50. What the
# program has started may keep the output open for as long as it runs: after the program has exited, the output is read
# until nothing has arrived for half a second and $RestSeconds are over.
function Read-ProgramOutput {
    param($Process, [string]$Name, [switch]$Quiet)
    $lines = New-Object Collections.Generic.Queue[string]
    $readers = $Process.StandardOutput, $Process.StandardError
    $pending = [Threading.Tasks.Task[]]@($readers[0].ReadLineAsync(), $readers[1].ReadLineAsync())
    $open = 2
    $rest = $null
    while ($open) {
        $i = [Threading.Tasks.Task]::WaitAny($pending, 500)
        if (-not $rest -and $Process.HasExited) { $rest = [Diagnostics.Stopwatch]::StartNew() }
        if ($i -lt 0) {
            if ($rest -and $rest.Elapsed.TotalSeconds -ge $RestSeconds) { break }
            continue
        }
        $line = $pending[$i].Result
        if ($null -eq $line) {
            $open--
            $pending[$i] = (New-Object Threading.Tasks.TaskCompletionSource[string]).Task   # never completes
            continue
        }
        $pending[$i] = $readers[$i].ReadLineAsync()
        if (-not $line.Trim()) { continue }
        $lines.Enqueue($line.Trim())
        if ($Quiet) { continue }
        if ($lines.Count -gt 50) { [void]$lines.Dequeue() }
        Write-Event log @{ text = $line; program = $Name }
        # What uv does next takes the longest, and it says so only at the end.
        if ($Name -ceq 'uv.exe' -and $line -cmatch '^Installed ') {
            Write-StepProgress compiling-modules 'Compiling the Python modules'
        }
    }
    $lines.ToArray()
}

# Return what explains a failure, in at most 800 characters: everything from the first line that says ERROR, and the
# last warning before it, which often has the reason. Without such a line: the last eight lines.
function Get-ErrorText([string[]]$Lines) {
    $warning = @()
    $errors = @()
    foreach ($line in $Lines) {
        if ($errors.Count -or $line -cmatch '^([Ee]rror|ERROR|[Ff]atal)\b') { $errors += $line }
        elseif ($line -cmatch '^WARNING') { $warning = @($line) }
    }
    $shown = $warning + $errors
    if (-not $errors.Count) { $shown = @($Lines | Select-Object -Last 8) }
    $text = $shown -join ' / '
    if (-not $text) { return '(none)' }
    if ($text.Length -gt 800) { $text = $text.Substring(0, 800) + '...' }
    $text
}
