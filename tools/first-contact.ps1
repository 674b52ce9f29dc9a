# Collect in one file what Windows reports about the notebook server that nbserver installed. See docs/first-contact.md.
#
# Run it on the host, in a PowerShell that was started as administrator:
#
#     powershell -ExecutionPolicy Bypass -File first-contact.ps1
#
# It changes nothing except the file. The file has no password, password hash, or key, but it has names of accounts,
# folders, and addresses. Read it before you send it.

param([string]$OutFile = (Join-Path (Get-Location -PSProvider FileSystem).ProviderPath 'nbserver-first-contact.txt'))

$lines = New-Object Collections.Generic.List[string]
$state = Join-Path $env:ProgramData 'nbserver'
$folders = @(
    (Join-Path $env:ProgramFiles 'nbserver')
    $state
    (Join-Path $state 'service')
    (Join-Path $state 'work')
)

# Write the output of a command below its title, or why it failed.
function Add-Section([string]$Title, [scriptblock]$Command) {
    $lines.Add("==== $Title ====")
    try { $text = & $Command | Out-String -Width 300 }
    catch { $text = "failed: $_" }
    $lines.Add($text.Trim())
    $lines.Add('')
}

Add-Section 'Windows and PowerShell' {
    $key = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
    Get-ItemProperty -LiteralPath $key | Select-Object ProductName, EditionID, CurrentBuild, UBR | Format-List
    "PowerShell $($PSVersionTable.PSVersion), $([IntPtr]::Size * 8) bits, culture $((Get-UICulture).Name)"
    "elevated: $(([Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()).IsInRole(
            [Security.Principal.WindowsBuiltInRole]'Administrator'))"
}
Add-Section 'schtasks /showsid /tn nbserver' { schtasks.exe /showsid /tn nbserver }
Add-Section 'Export-ScheduledTask' { Export-ScheduledTask -TaskName nbserver -TaskPath '\' -ErrorAction Stop }
Add-Section 'Get-ScheduledTask' {
    Get-ScheduledTask -TaskName nbserver* -ErrorAction Stop | Select-Object TaskName, State | Format-List
    Get-ScheduledTaskInfo -TaskName nbserver -TaskPath '\' -ErrorAction Stop |
        Select-Object LastRunTime, LastTaskResult, NumberOfMissedRuns | Format-List
}
foreach ($folder in $folders) {
    Add-Section "icacls $folder" { icacls.exe $folder }
}
Add-Section 'Get-NetFirewallRule' {
    foreach ($rule in Get-NetFirewallRule -Group nbserver -ErrorAction Stop) {
        $rule | Select-Object Name, DisplayName, Enabled, Direction, Action, Profile, PolicyStoreSource | Format-List
        $rule | Get-NetFirewallPortFilter | Select-Object Protocol, LocalPort | Format-List
        $rule | Get-NetFirewallAddressFilter | Select-Object RemoteAddress | Format-List
    }
}

[IO.File]::WriteAllText($OutFile, ($lines -join "`r`n"), (New-Object Text.UTF8Encoding($false)))
"Written: $OutFile"
