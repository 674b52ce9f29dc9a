# Get-CimInstance, for the one class that scripts ask for: Windows started when C:\nbserver-test\boot.txt says, or long ago.

function global:Get-CimInstance {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true)] [string]$ClassName)
    if ($ClassName -ne 'Win32_OperatingSystem') {
        $PSCmdlet.ThrowTerminatingError((New-StandInError 'Invalid class ' 'HRESULT 0x80041010' 'MetadataError' $ClassName))
    }
    $started = [DateTime]'2026-01-05T06:07:08Z'
    $file = 'C:\nbserver-test\boot.txt'
    if ([IO.File]::Exists($file)) { $started = [DateTime][IO.File]::ReadAllText($file).Trim() }
    New-Object psobject -Property @{ LastBootUpTime = $started.ToLocalTime() }
}
