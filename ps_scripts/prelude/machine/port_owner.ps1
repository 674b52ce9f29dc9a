# ---- prelude: port_owner ---------------------------------------------------------------------------
# Find the service or task that uses a TCP port, and stop it.

# Return what uses the port. Kind is what must be stopped to free it:
#   service    the services in Services
#   task       the scheduled tasks in Tasks
#   process    only the process itself, because neither a service nor a task runs it
#   nothing    nothing that this script may stop: a part of Windows, a program that a service such as an SSH server
#              has started, or an unknown process
# Process is the process that listens, and Text describes it.
function Get-PortOwner([int]$Port) {
    $owner = @{ Kind = 'nothing'; Text = ''; Process = $null; Services = @(); Tasks = @() }
    $processes = @(Get-PortProcess $Port)
    if (-not $processes.Count) { return $owner }
    $owner.Process = $processes[0]
    $owner.Text = "$($processes[0].Name), process $($processes[0].ProcessId)"
    $path = $processes[0].ExecutablePath
    if (-not $path -or (Test-Below $path $env:SystemRoot)) {
        $owner.Text += ', a part of Windows'
        return $owner
    }
    $processes = @(Select-BelowWindows $processes)
    if (Add-OwnerService $owner $processes) { return $owner }
    Add-OwnerTask $owner $processes
    if (-not $owner.Tasks.Count) { $owner.Kind = 'process' }
    $owner
}

# Return the processes up to the first one that Windows starts services and tasks with.
function Select-BelowWindows([object[]]$Processes) {
    foreach ($process in $Processes) {
        if ('svchost.exe', 'services.exe' -contains $process.Name) { return }
        $process
    }
}

# Find the nearest process that is a service, and return true if there is one. The service must be stopped if it listens
# itself, or if it is a wrapper that is configured to run a program between it and the port. Another service has started
# the program in its own way, as an SSH server does, and is not stopped.
function Add-OwnerService([hashtable]$Owner, [object[]]$Processes) {
    $running = @(Get-CimInstance -ClassName Win32_Service | Where-Object { $_.ProcessId -gt 0 })
    $below = @()                                         # the processes between the port and the service
    foreach ($process in $Processes) {
        $services = @($running | Where-Object { $_.ProcessId -eq $process.ProcessId })
        foreach ($service in $services) {
            if (-not $below.Count -or (Test-WrappedProgram $service.Name $below)) {
                $Owner.Kind = 'service'
                $Owner.Services += $service.Name
                $Owner.Text += ", service '$($service.Name)'"
            }
            else { $Owner.Text += ", below service '$($service.Name)'" }
        }
        if ($services.Count) { return $true }
        $below += $process
    }
    $false
}

# Wrappers such as NSSM and srvany run any program as a service. They read its path from Parameters\Application.
function Test-WrappedProgram([string]$Service, [object[]]$Processes) {
    $key = "HKLM:\SYSTEM\CurrentControlSet\Services\$Service\Parameters"
    $application = Get-RegistryValue $key Application
    if (-not $application) { return $false }
    $path = (Expand-Path ([string]$application.value)).Trim('"')
    [bool]@($Processes | Where-Object { $_.ExecutablePath -eq $path }).Count
}

# An error can be about a damaged task, which does not run.
function Add-OwnerTask([hashtable]$Owner, [object[]]$Processes) {
    $running = Get-ScheduledTask -ErrorAction SilentlyContinue | Where-Object { [string]$_.State -eq 'Running' }
    foreach ($task in @($running)) {
        if (-not (Test-TaskProgram $task $Processes)) { continue }
        $name = "$($task.TaskPath)$($task.TaskName)"
        $Owner.Kind = 'task'
        $Owner.Tasks += $name
        $Owner.Text += ", scheduled task '$name'"
    }
}

# Return true if one of the processes runs the program of the task with its arguments. Its command line may name the
# program even if its own executable is another one, such as an interpreter.
function Test-TaskProgram($Task, [object[]]$Processes) {
    foreach ($action in @($Task.Actions | Where-Object { $_.PSObject.Properties['Execute'] -and $_.Execute })) {
        $program = (Expand-Path $action.Execute).Trim('"')
        $arguments = Expand-Path $action.Arguments
        foreach ($process in $Processes) {
            $isProgram = $process.ExecutablePath -eq $program -or (Test-CommandLine $process $program)
            if ($isProgram -and (Test-CommandLine $process $arguments)) { return $true }
        }
    }
    $false
}

function Test-CommandLine($Process, [string]$Text) {
    ([string]$Process.CommandLine).IndexOf($Text, [StringComparison]::OrdinalIgnoreCase) -ge 0
}

# Stop what runs the program, so that undo can start it again; then wait up to ten seconds until the port is free. A
# program that outlives its service or task by five seconds is stopped.
function Stop-PortOwner([int]$Port) {
    $owner = Get-PortOwner $Port
    if ($owner.Kind -eq 'nothing') { return }
    foreach ($name in $owner.Services) { Disable-Service $name }
    foreach ($name in $owner.Tasks) { Disable-Task $name }
    if ($owner.Kind -eq 'process') {
        Write-Notice warning process-stopped ('nbserver stopped {program} (process {process}). Undo cannot start it ' +
            'again, because it is neither a service nor a scheduled task. If you need it, start it yourself: ' +
            '{path}') @{
            program = $owner.Process.Name; process = $owner.Process.ProcessId; path = $owner.Process.ExecutablePath
        }
    }
    for ($try = 0; $try -lt 20 -and (Test-PortListening $Port); $try++) {
        if ($try -eq 10) {
            Write-StepProgress waiting-for-port 'Waiting for TCP port {port} to become free' @{ port = $Port }
        }
        if ($owner.Kind -eq 'process' -or $try -eq 10) {
            Stop-Listener $Port $owner.Process
        }
        [Threading.Thread]::Sleep(500)
    }
}

# Stop the process if it still listens on the port. Windows reuses process IDs, so the times count as well. A process
# that exits by itself meanwhile is not an error.
function Stop-Listener([int]$Port, $Process) {
    $now = @(Get-PortProcess $Port)
    if (-not $now.Count -or $now[0].ProcessId -ne $Process.ProcessId) { return }
    if ($now[0].CreationDate -ne $Process.CreationDate) { return }
    Stop-Process -Id $Process.ProcessId -Force -ErrorAction SilentlyContinue
}
