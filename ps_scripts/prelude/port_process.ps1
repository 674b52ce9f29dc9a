# ---- prelude: port_process -------------------------------------------------------------------------
# Find the program that listens on a TCP port, and what started it.

function Test-PortListening([int]$Port) {
    $listeners = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners()
    [bool]@($listeners | Where-Object { $_.Port -eq $Port }).Count
}

# Return the process that listens, its parent, the parent of that, and so on; nothing if Windows does not report it.
# Windows reuses process IDs: a "parent" that started later than its child is another process.
function Get-PortProcess([int]$Port) {
    try {
        $connections = @(Get-NetTCPConnection -LocalPort $Port -State Listen -ErrorAction Stop)
        $id = [int]$connections[0].OwningProcess
    }
    catch { return }
    $child = $null
    for ($depth = 0; $id -gt 0 -and $depth -lt 10; $depth++) {
        $process = Get-CimInstance -ClassName Win32_Process -Filter "ProcessId = $id"
        if (-not $process -or ($child -and $process.CreationDate -gt $child.CreationDate)) { return }
        $process
        $child = $process
        $id = [int]$process.ParentProcessId
    }
}
