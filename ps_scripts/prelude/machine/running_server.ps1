# ---- prelude: running_server -----------------------------------------------------------------------
# Stop the server before its programs are replaced.

# The task is disabled, because its second trigger would start the server again. The step service registers it again.
function Stop-Server {
    if (-not (Test-Record 'task' 'nbserver') -or -not (Get-TaskXml 'nbserver')) { return }
    [void](Disable-ScheduledTask -TaskName 'nbserver' -TaskPath '\' -ErrorAction Stop)
    Stop-Task 'nbserver'
}

# ---- right after Windows has started, the task does not run yet, and then the server does not listen yet. A test waits
# for both, because neither is a difference. With other settings, the server need not listen on this port at all

$YoungSeconds = 90                                       # how old Windows or the server is then, at most

function Wait-YoungTask {
    $boot = Get-BootTime
    if (-not $boot) { return }
    $started = [DateTime]::ParseExact($boot, $BootFormat, [Globalization.CultureInfo]::InvariantCulture,
        'AssumeUniversal, AdjustToUniversal')
    for ($second = 0; ([DateTime]::UtcNow - $started).TotalSeconds -lt $YoungSeconds; $second++) {
        if ($second -ge $YoungSeconds -or [string](Find-Task 'nbserver').State -ne 'Ready') { return }
        if ($second % 10 -eq 5) {
            Write-StepProgress waiting-for-task 'Waiting for the scheduled task {task}' @{ task = 'nbserver' }
        }
        Start-Pause 1000
    }
}

function Wait-YoungServer {
    $port = $Settings.notebook.port
    for ($second = 0; $second -lt $YoungSeconds; $second++) {
        if ($ServiceTask.Started -or $Run.NewSettings -or (Test-PortListening $port)) { return }
        if (-not (Test-YoungServer)) { return }
        if ($second % 10 -eq 5) {
            Write-StepProgress waiting-for-server 'Waiting for the server on TCP port {port}' @{
                port = $port
            } -Done $second -Total $YoungSeconds -Unit seconds
        }
        Start-Pause 1000
    }
}

# The server is older than its kernels.
function Test-YoungServer {
    if (-not (Test-ServerRunning)) { return $false }
    $first = Get-ProcessBelow $Programs | Sort-Object -Property StartTime | Select-Object -First 1
    [bool]$first -and ([DateTime]::UtcNow - $first.StartTime.ToUniversalTime()).TotalSeconds -lt $YoungSeconds
}

# Return how the server runs, for mode status. A task that Windows is about to start is Queued.
function Get-ServiceStatus {
    $task = Find-Task 'nbserver'
    if (-not $task) { return @{ state = 'absent'; by = 'none'; start = 'none'; since = '' } }
    $found = @{ state = 'stopped'; by = 'task'; start = 'automatic'; since = '' }
    $state = [string]$task.State
    if ($state -eq 'Disabled') { $found.start = 'disabled' }
    if ($state -eq 'Queued') { $found.state = 'starting' }
    if ($state -eq 'Running') {
        $found.state = 'running'
        $process = Get-PortProcess $Settings.notebook.port | Where-Object {
            $_.ExecutablePath -and (Test-Below $_.ExecutablePath $Programs)
        } | Select-Object -Last 1
        if ($process) { $found.since = Format-UtcTime $process.CreationDate }
    }
    $found
}

# Return the environment that the task names; if there is no task, the one that these settings choose.
function Get-ServerEnvironment {
    $program = Get-ServerProgram
    if (Test-Below $program $Programs) { return Get-EnvironmentOf $program }
    Get-EnvironmentFolder
}

# Return the program that the task runs; '' if there is no task.
function Get-ServerProgram {
    $xml = Get-TaskXml 'nbserver'
    if ($xml) { return [string](Get-TaskText ([xml]$xml) 'Actions/Exec/Command') }
    ''
}

# Return whether what runs in a notebook can install packages into the environment.
function Test-NotebookInstall { $false }

# Only a warning, once per run and folder: kernels of the site may have been installed into the environment.
$AddedReported = @{}

function Write-AddedFile([string]$Folder, [string[]]$Paths) {
    if ($AddedReported[$Folder]) { return }
    $AddedReported[$Folder] = $true
    $values = @{ folder = $Folder; count = $Paths.Count; path = $Paths[0] }
    if ($Folder -eq (Get-EnvironmentFolder)) {
        Write-Notice warning files-added ('{folder} contains files that nbserver did not install ({count}), such as ' +
            '{path}. Check where they came from. To remove them, run nbserver apply --repair') $values
        return
    }
    Write-Notice warning program-files-added ('{folder} contains files that nbserver did not install ({count}), such ' +
        'as {path}. Check where they came from. If nothing needs them, remove them') $values
}
