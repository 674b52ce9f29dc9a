# What Wine lacks or fakes, for every session of a Windows host in a box. Loaded before the client's first command, as a
# real endpoint's startup script could. State stands below C:\nbserver-test and in C:\windows\system32\Tasks.
. "$PSScriptRoot\variables.ps1"
. "$PSScriptRoot\state.ps1"
. "$PSScriptRoot\acl.ps1"
. "$PSScriptRoot\boot_time.ps1"
. "$PSScriptRoot\net_security.ps1"
. "$PSScriptRoot\scheduled_tasks.ps1"
. "$PSScriptRoot\wsman.ps1"
. "$PSScriptRoot\native.ps1"
. "$PSScriptRoot\cim.ps1"
. "$PSScriptRoot\net_tcpip.ps1"
. "$PSScriptRoot\services.ps1"
. "$PSScriptRoot\certificates.ps1"
