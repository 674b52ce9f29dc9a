# ---- step: preflight -------------------------------------------------------------------------------
# Refuse a host on which the notebook server cannot work, before anything is changed.

Add-Step preflight 'This host can run the notebook server' -Test {
    Assert-Requirement process { Assert-SixtyFourBit }
    Assert-Requirement architecture { Assert-Architecture }
    Assert-Requirement execution_policy { Assert-ExecutionPolicy }
    Assert-Requirement windows_version { Assert-WindowsVersion }
    Assert-Requirement universal_runtime { Assert-UniversalRuntime }
    Assert-Requirement clock { Assert-Clock }
    Assert-Requirement disk_space { Assert-FreeSpace }
    Assert-Requirement notebook_port { Assert-FreePort }
    Assert-Requirement smart_app_control { Write-SmartAppControl }
    Assert-Requirement other_configuration { Write-ForeignConfiguration }
} -Apply {
    throw (New-Failure nothing-to-apply ('internal error (a bug in nbserver): the step {step} has nothing to change. ' +
            'Report this bug, and include this message') @{ step = 'preflight' })
}

# Programs of the user are never stopped to free the port.
function Assert-FreePort {
    $port = $Settings.notebook.port
    Set-Found port-free 'TCP port {port} is free, or used by the notebook server' @{ port = $port }
    if (-not (Test-PortListening $port)) { return }
    $processes = @(Get-PortProcess $port)
    if (-not $processes.Count) {
        # Windows does not report the process. That our server runs is not enough: it may listen on another port.
        if ((Test-DeployedPort $port) -and @(Get-ProcessBelow $Programs).Count) { return }
        throw (New-Failure port-taken-unknown ('TCP port {port} is used by another program. Stop it, or choose ' +
                'another notebook.port in the inventory') @{ port = $port })
    }
    $ours = $processes | Where-Object { $_.ExecutablePath -and (Test-Below $_.ExecutablePath $Programs) }
    if (@($ours).Count) { return }
    throw (New-Failure port-taken ('TCP port {port} is used by {program} (process {process}). Stop it, or choose ' +
            'another notebook.port in the inventory') @{
            port = $port; program = $processes[0].Name; process = $processes[0].ProcessId
        })
}
