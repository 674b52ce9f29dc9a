# Win32_OperatingSystem: Windows started when C:\nbserver-test\boot.txt says, or long ago.

function global:Get-StandInOperatingSystem {
    $started = [DateTime]'2026-01-05T06:07:08Z'
    $file = 'C:\nbserver-test\boot.txt'
    if ([IO.File]::Exists($file)) { $started = [DateTime][IO.File]::ReadAllText($file).Trim() }
    New-Object psobject -Property @{ LastBootUpTime = $started.ToLocalTime() }
}
