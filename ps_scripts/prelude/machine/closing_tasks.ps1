# ---- prelude: closing_tasks ------------------------------------------------------------------------
# Restore a registry value at the next start if a run is cut off before that.

# A bracket changes a value only while other steps run. If the run is cut off, for example by a power failure, nothing
# restores the value until undo. So while the bracket is open, a task that runs when Windows starts has two commands:
# one restores the value, the other removes the task. The commands are literal; no file is involved.
function Add-ClosingTask([string]$Path, [string]$Name) {
    $before = Get-RegistryValue $Path $Name
    if (-not $before -or $before.type -ne 'DWord') {
        throw (New-Failure value-not-dword ('{path}\{name} is not a DWORD value, so nbserver could not restore it ' +
                'after a restart. Set skip = ["ie_esc"] in the inventory to leave it unchanged') @{
                path = $Path; name = $Name
            })
    }
    $task = "nbserver-close-$($Run.Step)"
    $key = Protect-Xml ($Path -creplace '^HKLM:', 'HKLM')
    $value = Protect-Xml $Name
    Set-Task $task @"
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>nbserver: restores $value if the run is cut off</Description></RegistrationInfo>
  <Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
  <Principals>
    <Principal id="Author"><UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel></Principal>
  </Principals>
  <Settings>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>%SystemRoot%\System32\reg.exe</Command>
      <Arguments>add "$key" /v "$value" /t REG_DWORD /d $($before.value) /f</Arguments>
    </Exec>
    <Exec>
      <Command>%SystemRoot%\System32\schtasks.exe</Command>
      <Arguments>/delete /tn "$task" /f</Arguments>
    </Exec>
  </Actions>
</Task>
"@
}
