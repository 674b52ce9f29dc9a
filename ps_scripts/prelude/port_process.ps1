# ---- prelude: who listens on a TCP port, and what runs that program ------------------------------------

function Test-PortListening([int]$Port) {
    $listeners = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners()
    [bool]@($listeners | Where-Object { $_.Port -eq $Port }).Count
}

# The process that listens, and those that started it, nearest first; nothing where Windows does not tell.
# A process id may have been given anew: what began after its child is not its parent.
function Get-PortProcesses([int]$Port) {
    try { $id = [int]@(Get-NetTCPConnection -LocalPort $Port -State Listen)[0].OwningProcess } catch { return }
    $child = $null
    for ($depth = 0; $id -gt 0 -and $depth -lt 10; $depth++) {
        $process = Get-CimInstance -ClassName Win32_Process -Filter "ProcessId = $id"
        if (-not $process -or ($child -and $process.CreationDate -gt $child.CreationDate)) { return }
        $process
        $child = $process
        $id = [int]$process.ParentProcessId
    }
}

# What runs the program, as far as it is certain: the service whose process it is, or whose program (the one
# that NSSM or srvany was told to run, Parameters\Application) it is or was started by. A service further up,
# such as an SSH server or an agent, is not meant, but what runs below one is not ended either.
# Held is what would have to be stopped: 'service', 'task', 'process'; 'nothing' where only a person can.
function Get-PortHolder([int]$Port) {
    $processes = @(Get-PortProcesses $Port)
    $holder = @{ Held = 'nothing'; Text = ''; Process = $null; Services = @(); Tasks = @() }
    if (-not $processes.Count) { return $holder }
    $first = $processes[0]
    $holder.Process = $first
    $holder.Text = " ($($first.Name), process $($first.ProcessId)"
    if (-not $first.ExecutablePath -or (Test-Below $first.ExecutablePath $env:SystemRoot)) { $holder.Text += ', a part of Windows)'; return $holder }

    $services = @(Get-CimInstance -ClassName Win32_Service | Where-Object { $_.ProcessId -gt 0 })
    $below = @()
    foreach ($process in $processes) {
        if ($process.Name -eq 'svchost.exe' -or $process.Name -eq 'services.exe') { break }
        $here = @($services | Where-Object { $_.ProcessId -eq $process.ProcessId })
        foreach ($service in $here) {
            $application = Get-RegistryValue "HKLM:\SYSTEM\CurrentControlSet\Services\$($service.Name)\Parameters" Application
            $runs = @($below | Where-Object { $application -and $_.ExecutablePath -eq (Expand-Path ([string]$application.value).Trim('"')) })
            if (-not $below.Count -or $runs.Count) { $holder.Held = 'service'; $holder.Services += $service.Name; $holder.Text += ", service '$($service.Name)'" }
            else { $holder.Text += ", below service '$($service.Name)'" }
        }
        if ($here.Count) { $holder.Text += ')'; return $holder }
        $below += $process
    }
    foreach ($task in @(Get-ScheduledTask | Where-Object { [string]$_.State -eq 'Running' })) {
        if (Test-TaskRuns $task $below) { $holder.Held = 'task'; $holder.Tasks += "$($task.TaskPath)$($task.TaskName)"; $holder.Text += ", scheduled task '$($task.TaskPath)$($task.TaskName)'" }
    }
    if ($holder.Held -eq 'nothing') { $holder.Held = 'process' }
    $holder.Text += ')'
    $holder
}

# Whether one of the processes is what this task says: its program, with its arguments.
function Test-TaskRuns($Task, [object[]]$Processes) {
    foreach ($action in @($Task.Actions | Where-Object { $_.PSObject.Properties['Execute'] -and $_.Execute })) {
        $program = (Expand-Path $action.Execute).Trim('"')
        foreach ($process in $Processes) {
            $line = [string]$process.CommandLine
            $same = $process.ExecutablePath -eq $program -or $line.IndexOf($program, [StringComparison]::OrdinalIgnoreCase) -ge 0
            if ($same -and $line.IndexOf((Expand-Path $action.Arguments), [StringComparison]::OrdinalIgnoreCase) -ge 0) { return $true }
        }
    }
    $false
}

# The services, tasks or the bare process are stopped; what of their programs outlives them is ended.
function Stop-PortHolder([int]$Port) {
    $holder = Get-PortHolder $Port
    foreach ($name in $holder.Services) { Disable-Service $name }
    foreach ($name in $holder.Tasks) { Disable-Task $name }
    if ($holder.Held -eq 'process') {
        Write-Event warning @{ text = "$($holder.Process.Name), process $($holder.Process.ProcessId), was ended: no service and no task runs it, so undo cannot start it again. It ran: $($holder.Process.ExecutablePath)" }
    }
    for ($try = 0; $try -lt 20 -and $holder.Held -ne 'nothing' -and (Test-PortListening $Port); $try++) {
        if ($holder.Held -eq 'process' -or $try -eq 10) { Stop-Process -Id $holder.Process.ProcessId -Force -ErrorAction SilentlyContinue }
        [Threading.Thread]::Sleep(500)
    }
}
