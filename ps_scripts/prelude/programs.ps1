# ---- prelude: other programs, all through this one wrapper; only the server itself is prelude/processes --

# Windows' rules for one argument of a command line: quotes around it, backslashes doubled before a quote.
function Format-Argument([string]$Text) {
    if ($Text -match '^[^\s"]+$') { return $Text }
    '"' + ([regex]::Replace([regex]::Replace($Text, '(\\*)"', '$1$1\"'), '(\\+)$', '$1$1')) + '"'
}

# The processes whose programs are in the folder, however deep.
function Get-ProcessesBelow([string]$Folder) {
    Get-Process | Where-Object { $_.Path -and (Test-Below $_.Path $Folder) }
}

function Stop-ProcessesBelow([string]$Folder) {
    foreach ($process in @(Get-ProcessesBelow $Folder)) {
        try { $process.Kill(); [void]$process.WaitForExit(10000) }
        catch { Write-Event log @{ text = "process $($process.Id) had ended: $_" } }
    }
}

# Runs a program to its end. What it prints becomes log events, line by line. An exit code that is not
# in $Accept fails the step, with $Todo, what a person can do about it, and the program's last words.
# $Quiet is for a program that only answers a question: what it prints then goes to $Run.Output.
function Invoke-Program([string]$File, [string[]]$Arguments, [hashtable]$Environment = @{}, [int[]]$Accept = @(0), [string]$Todo = '', [switch]$Quiet) {
    # OpenSSL opens files in the host's code page, which may lack letters of a path: relative ones have none.
    # What it loads by default is in folders that were fixed when it was built, which anybody may be able to make.
    if ((Split-Path -Leaf $File) -eq 'openssl.exe') {
        $Arguments = @($Arguments | ForEach-Object { $_.Replace("$StateFolder\", '') })
        $bin = Split-Path -Parent $File
        $Environment = $Environment + @{ OPENSSL_CONF = 'NUL'; OPENSSL_MODULES = $bin; OPENSSL_ENGINES = $bin }
    }
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
    # Python loads OpenSSL too. Variables that an earlier OpenSSL has left may name a file that others can write, and
    # such a file names a DLL to load.
    foreach ($name in @($start.EnvironmentVariables.Keys)) {
        if ($name.ToUpperInvariant() -cmatch '^OPENSSL_') { $start.EnvironmentVariables.Remove($name) }
    }
    foreach ($name in $Environment.Keys) {
        if ($null -eq $Environment[$name]) { $start.EnvironmentVariables.Remove($name) }
        else { $start.EnvironmentVariables[$name] = $Environment[$name] }
    }

    $name = Split-Path -Leaf $File
    $last = New-Object Collections.Generic.Queue[string]
    $process = [Diagnostics.Process]::Start($start)
    try {
        $process.StandardInput.Close()
        $readers = $process.StandardOutput, $process.StandardError
        $pending = [Threading.Tasks.Task[]]@($readers[0].ReadLineAsync(), $readers[1].ReadLineAsync())
        $open = 2
        while ($open) {
            $i = [Threading.Tasks.Task]::WaitAny($pending, 500)
            if ($i -lt 0) { continue }
            $line = $pending[$i].Result
            if ($null -eq $line) {
                $open--
                $pending[$i] = (New-Object Threading.Tasks.TaskCompletionSource[string]).Task   # never completes
                continue
            }
            $pending[$i] = $readers[$i].ReadLineAsync()
            if (-not $line.Trim()) { continue }
            $last.Enqueue($line.Trim())
            if ($last.Count -gt 12 -and -not $Quiet) { [void]$last.Dequeue() }
            if (-not $Quiet) { Write-Event log @{ text = $line; program = $name } }
        }
        while (-not $process.WaitForExit(500)) { continue }
        $Run.ExitCode = $process.ExitCode
        $Run.Output = $last.ToArray()
    }
    finally {
        if (-not $process.HasExited) { $process.Kill() }   # this run was stopped
        $process.Dispose()
    }
    if ($Accept -notcontains $Run.ExitCode) {
        if ($Todo) { $Todo = ". $Todo" }
        if ($last.Count) { $words = ". Its last words: $(@($last | Select-Object -Last 12) -join ' / ')" } else { $words = '' }
        throw "$name ended with code $($Run.ExitCode)$Todo$words"
    }
}
