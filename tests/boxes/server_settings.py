"""What makes a Wine prefix a Windows Server with settings, a firewall rule and a task of others."""

from __future__ import annotations

from tests.boxes import registry_file

ACTIVE_SETUP = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Active Setup"
ENVIRONMENT = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
IE_ESC = {
    "administrators": ACTIVE_SETUP + r"\Installed Components\{A509B1A7-37EF-4b3f-8CFC-4F3A74704073}",
    "users": ACTIVE_SETUP + r"\Installed Components\{A509B1A8-37EF-4b3f-8CFC-4F3A74704073}",
}
MACHINE_PATH = (
    r"%SystemRoot%\system32;%SystemRoot%;%SystemRoot%\System32\Wbem;"
    r"%SYSTEMROOT%\System32\WindowsPowerShell\v1.0\;%ProgramFiles%\Unrelated Tools\bin"
)
SERVER: dict[str, dict[str, str]] = {
    r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\ProductOptions": {"ProductType": registry_file.string("ServerNT")},
    r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion": {
        "ProductName": registry_file.string("Windows Server 2019 Standard"),
        "InstallationType": registry_file.string("Server"),
        "CurrentBuildNumber": registry_file.string("17763"),
        "CurrentBuild": registry_file.string("17763"),
    },
    IE_ESC["administrators"]: {
        "": registry_file.string("Applied Administrators"),
        "ComponentID": registry_file.string("IEHardenAdmin"),
        "IsInstalled": registry_file.dword(1),
        "StubPath": registry_file.expandable(r'"%SystemRoot%\System32\rundll32.exe" "%SystemRoot%\System32\iesetup.dll",IEHardenAdmin'),
    },
    IE_ESC["users"]: {
        "": registry_file.string("Applied Users"),
        "ComponentID": registry_file.string("IEHardenUser"),
        "IsInstalled": registry_file.dword(1),
        "StubPath": registry_file.expandable(r'"%SystemRoot%\System32\rundll32.exe" "%SystemRoot%\System32\iesetup.dll",IEHardenUser'),
    },
    ENVIRONMENT: {"PATH": registry_file.expandable(MACHINE_PATH), "Unrelated": registry_file.expandable(r"%SystemDrive%\unrelated")},
}
UNRELATED_RULE = {
    "Name": "Unrelated-In-TCP",
    "DisplayName": "Unrelated service",
    "Description": "Not ours.",
    "Group": "Unrelated",
    "DisplayGroup": "Unrelated",
    "Enabled": "True",
    "Direction": "Inbound",
    "Action": "Allow",
    "Protocol": "TCP",
    "LocalPort": ["8443"],
    "RemoteAddress": ["LocalSubnet"],
    "Profile": "Domain",
}
UNRELATED_TASK = """<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <URI>\\Unrelated maintenance</URI>
  </RegistrationInfo>
  <Settings>
    <DisallowStartIfOnBatteries>true</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>true</StopIfGoingOnBatteries>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <IdleSettings>
      <StopOnIdleEnd>true</StopOnIdleEnd>
      <RestartOnIdle>false</RestartOnIdle>
    </IdleSettings>
  </Settings>
  <Triggers>
    <CalendarTrigger>
      <StartBoundary>2020-01-01T03:00:00</StartBoundary>
      <ScheduleByDay>
        <DaysInterval>1</DaysInterval>
      </ScheduleByDay>
    </CalendarTrigger>
  </Triggers>
  <Actions>
    <Exec>
      <Command>cmd.exe</Command>
      <Arguments>/c exit 0</Arguments>
    </Exec>
  </Actions>
</Task>"""
