if ([string]$ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') { throw 'no full language' }
if ([IntPtr]::Size -ne 8) { throw 'not 64 bit' }
if ($env:PROCESSOR_ARCHITECTURE -ne 'AMD64') { throw "processor $env:PROCESSOR_ARCHITECTURE" }
$me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { throw 'no administrator' }
$drive = New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($env:ProgramFiles))
if ($drive.AvailableFreeSpace -lt 3GB -and -not (Test-Path -LiteralPath $Environment)) { throw 'disk full' }
if ([int](Get-WSManInstance -ResourceURI winrm/config/winrs).MaxMemoryPerShellMB -lt 1024) { throw 'memory quota of shells' }
$pending = @('HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending',
    'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired') | Where-Object { Test-Path -LiteralPath $_ }
if ($pending) { throw "reboot pending: $pending" }
$listening = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners() | Where-Object { $_.Port -eq $Port }
$task = Get-ScheduledTask -TaskName nbserver -TaskPath '\' -ErrorAction SilentlyContinue
if ($listening -and -not ($task -and [string]$task.State -eq 'Running')) { throw "port $Port is taken" }
