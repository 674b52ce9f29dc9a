# Get-NetTCPConnection, for listening sockets. Which ports are open, .NET tells; Wine does not tell whose they are, so a test's
# program that listens writes its process id to C:\nbserver-test\listeners\PORT. A socket without such a file is nobody's.

function global:Get-NetTCPConnection {
    [CmdletBinding()]
    param([uint16]$LocalPort, [ValidateSet('Listen')] [string]$State = 'Listen')
    $file = Join-Path (Get-StandInFolder 'listeners') $LocalPort
    for ($try = 1; $true; $try++) {
        # The table can change while it is read, and reading it then fails.
        try { $all = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners(); break }
        catch { if ($try -ge 5) { throw } }
        Start-Sleep -Milliseconds 100
    }
    $listening = $all | Where-Object { $_.Port -eq $LocalPort }
    if (-not $listening) {
        $text = "No MSFT_NetTCPConnection objects found with property 'LocalPort' equal to '$LocalPort'.  Verify the value of the property and retry."
        $PSCmdlet.WriteError((New-StandInError $text 'CmdletizationQuery_NotFound_LocalPort' 'ObjectNotFound' $LocalPort))
        return
    }
    foreach ($one in $listening) {
        $process = if ([IO.File]::Exists($file)) { [uint32][IO.File]::ReadAllText($file) } else { [uint32]0 }
        New-Object psobject -Property @{ LocalAddress = "$($one.Address)"; LocalPort = $LocalPort; State = 'Listen'; OwningProcess = $process }
    }
}
