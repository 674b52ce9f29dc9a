# Get-CimInstance, for the classes that scripts ask for: Win32_OperatingSystem (boot_time.ps1), Win32_Service (services.ps1) and
# Win32_Process. Processes are Wine's: who started them and with which command line, Windows' own functions say (native.ps1).

function global:Get-StandInProcess([int]$Id) {
    $process = Get-Process -Id $Id -ErrorAction SilentlyContinue
    if (-not $process) { return }
    $facts = Get-StandInProcessFacts $Id
    New-Object psobject -Property @{
        ProcessId = [uint32]$Id; ParentProcessId = [uint32]$facts.Parent; Name = "$($process.ProcessName).exe"
        ExecutablePath = $process.Path; CommandLine = $facts.CommandLine; CreationDate = Get-StandInStart $process
    }
}

# A CIM_DATETIME has microseconds only, and WMI has none for a process that is exiting.
function global:Get-StandInStart($Process) {
    try { $start = $Process.StartTime } catch { return }
    $start.AddTicks(-($start.Ticks % 10))
}

function global:Get-CimInstance {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true)] [string]$ClassName, [string]$Filter)
    if ($ClassName -eq 'Win32_OperatingSystem' -and -not $Filter) { Get-StandInOperatingSystem }
    elseif ($ClassName -eq 'Win32_Service' -and -not $Filter) { Get-StandInService }
    elseif ($ClassName -eq 'Win32_Process' -and -not $Filter) { Get-Process | ForEach-Object { Get-StandInProcess $_.Id } }
    elseif ($ClassName -eq 'Win32_Process' -and $Filter -match '^ProcessId = (\d+)$') { Get-StandInProcess $Matches[1] }
    else { $PSCmdlet.ThrowTerminatingError((New-StandInError 'Invalid class ' 'HRESULT 0x80041010' 'MetadataError' $ClassName)) }
}
