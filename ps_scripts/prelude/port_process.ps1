# ---- prelude: port_process -------------------------------------------------------------------------
# Find the program that listens on a TCP port, and what started it.

# Return the addresses and ports on which programs listen. The table of connections can change while it is read, and
# reading it then fails: it is read up to 5 times.
function Get-TcpListener {
    for ($try = 1; $true; $try++) {
        try { return [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners() }
        catch { if ($try -ge 5) { throw } }
        Start-Pause 100
    }
}

function Test-PortListening([int]$Port) {
    [bool]@(Get-TcpListener | Where-Object { $_.Port -eq $Port }).Count
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
