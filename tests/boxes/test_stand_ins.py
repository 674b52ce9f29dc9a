"""What stands in for Windows' own cmdlets, and the task scheduler behind it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator

import pytest

from tests.boxes.pool import Run, pool
from tests.boxes.server_settings import ACTIVE_SETUP, ENVIRONMENT, IE_ESC, MACHINE_PATH
from tests.boxes.virus_scanner import FILE_SECONDS, FOLDER_SECONDS
from tests.boxes.windows import WindowsBox
from tests.waiting import wait_until

EMPTY_TASK = r"""
$xml = @'
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
  <Settings><Enabled>true</Enabled></Settings>
  <Actions>ACTIONS</Actions>
</Task>
'@
Register-ScheduledTask -TaskName 'NAME' -Xml $xml -Force | ForEach-Object { "$($_.State)" }
"""


@pytest.fixture(scope="module")
def run(windows_host: WindowsBox) -> Iterator[Run]:
    """Runs a script as real ones run: strict, errors are fatal. Returns its output as text."""
    with pool(windows_host, lambda script: f"Set-StrictMode -Version 3.0; $ErrorActionPreference = 'Stop'; & {{ {script} }}") as run_script:
        yield run_script


def register(name: str, *actions: tuple[str, str]) -> str:
    steps = "".join(f"<Exec><Command>{command}</Command><Arguments>{arguments}</Arguments></Exec>" for command, arguments in actions)
    return EMPTY_TASK.replace("NAME", name).replace("ACTIONS", steps)


def test_the_ports_that_are_open_are_those_that_dotnet_reports(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        opened = {f"127.0.0.1:{one.getsockname()[1]}", f"[::1]:{other.getsockname()[1]}"}
        found = run(r"""
            $properties = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
            $dotnet = $properties.GetType().GetMethod('GetActiveTcpListeners').Invoke($properties, @())
            foreach ($all in $properties.GetActiveTcpListeners(), $dotnet) { ($all | ForEach-Object { "$_" }) -join ' ' }
        """)
    stand_in, dotnet = (set(re.sub(r"%\d+", "", line).split()) for line in found)  # Wine gives addresses a scope
    assert opened <= stand_in and opened <= dotnet


def test_a_firewall_rule_from_new_to_removed(run: Run, windows_host: WindowsBox) -> None:
    before = windows_host.snapshot()["firewall"]
    assert run(r"""
        $null = New-NetFirewallRule -Name t -DisplayName 'T' -Group g -Description d -Direction Inbound -Action Allow `
            -Protocol tcp -LocalPort 9999 -RemoteAddress 192.0.2.0/24, LocalSubnet, 198.51.100.7/32 -Profile Any
        $rule = Get-NetFirewallRule -Name t
        foreach ($name in 'Name', 'DisplayName', 'Group', 'Description', 'Direction', 'Action', 'Enabled', 'Profile') { $rule.$name }
        $port = Get-NetFirewallPortFilter -AssociatedNetFirewallRule $rule
        $port.Protocol; $port.LocalPort; $port.LocalPort -is [string]
        (Get-NetFirewallAddressFilter -AssociatedNetFirewallRule $rule).RemoteAddress
    """) == [
        "t",
        "T",
        "g",
        "d",
        "Inbound",
        "Allow",
        "True",
        "Any",
        "TCP",
        "9999",
        "True",
        "192.0.2.0/255.255.255.0",
        "LocalSubnet",
        "198.51.100.7",
    ]
    assert windows_host.snapshot()["firewall"].keys() - before.keys() == {"t"}
    assert run(r"""
        Set-NetFirewallRule -Name t -LocalPort 9998 -RemoteAddress Any -Enabled False
        $rule = Get-NetFirewallRule -Name t
        $rule.Enabled; ($rule | Get-NetFirewallPortFilter).LocalPort; ($rule | Get-NetFirewallAddressFilter).RemoteAddress
        Remove-NetFirewallRule -Name t
        $null -eq (Get-NetFirewallRule -Name t -ErrorAction SilentlyContinue)
        try { Get-NetFirewallRule -Name t } catch { $_.FullyQualifiedErrorId }
    """) == ["False", "9998", "Any", "True", "CmdletizationQuery_NotFound_InstanceID,Get-NetFirewallRule"]
    assert windows_host.snapshot()["firewall"] == before


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("New-NetFirewallRule -Name Unrelated-In-TCP -DisplayName x", "Windows System Error 183,New-NetFirewallRule"),
        ("New-NetFirewallRule -Name p -DisplayName x -LocalPort 9", "HRESULT 0x80070057,New-NetFirewallRule"),
        ("New-NetFirewallRule -Name p -DisplayName x -Direction In", "ParameterArgumentValidationError,New-NetFirewallRule"),
        ("Register-ScheduledTask -TaskName b -Xml 'no'", "HRESULT 0x8004131a,Register-ScheduledTask"),
        ("Register-ScheduledTask -TaskName b -Xml '<Task/>'", "HRESULT 0x80041319,Register-ScheduledTask"),
        ("Start-ScheduledTask -TaskName none", "CmdletizationQuery_NotFound_TaskName,Start-ScheduledTask"),
        ("Get-Acl -LiteralPath C:\\none", "GetAcl_PathNotFound_Exception,Get-Acl"),
        ("Get-WSManInstance -ResourceURI winrm/config", "WsManError,Get-WSManInstance"),
    ],
)
def test_what_is_refused(run: Run, script: str, error: str) -> None:
    assert run(f"try {{ $null = {script}; 'accepted' }} catch {{ $_.FullyQualifiedErrorId }}") == [error]


def test_a_folders_descriptor_lasts_as_long_as_the_folder(run: Run, windows_host: WindowsBox) -> None:
    sddl = "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
    assert run(rf"""
        $null = New-Item -ItemType Directory -Path C:\guarded
        $acl = Get-Acl -LiteralPath C:\guarded
        $acl.Sddl -eq '{sddl}'
        $acl.SetSecurityDescriptorSddlForm('{sddl}')
        Set-Acl -LiteralPath C:\guarded -AclObject $acl
        $acl = Get-Acl -LiteralPath C:\GUARDED\
        $acl.Sddl; $acl.Owner; $acl.AreAccessRulesProtected; @($acl.Access).Count; $acl.GetType().Name
    """) == ["False", sddl, "BUILTIN\\Administrators", "True", "2", "DirectorySecurity"]
    assert windows_host.snapshot()["acl"]["C:\\guarded"] == sddl
    windows_host.path("C:\\guarded").rmdir()
    assert "C:\\guarded" not in windows_host.snapshot()["acl"]
    assert run(r"""
        $null = Get-Acl -LiteralPath C:\windows
        $null = New-Item -ItemType Directory -Path C:\guarded
        (Get-Acl -LiteralPath C:\guarded).AreAccessRulesProtected
        Remove-Item C:\guarded
    """) == ["False"]


def test_what_is_new_is_held_for_a_while(run: Run, windows_host: WindowsBox) -> None:
    """By default, and once for each name: a folder for two seconds, and a file so that its replacement fails halfway."""
    if os.geteuid():
        pytest.skip("only root holds what is new")
    scanner = windows_host.scanner
    scanner.file_seconds = scanner.folder_seconds = 600
    state, programs = windows_host.path(r"C:\ProgramData\nbserver"), windows_host.path(r"C:\Program Files\nbserver")
    created = [folder for folder in (state, programs) if not folder.exists()]  # an earlier test may have left its runs
    for folder in created:
        folder.mkdir()
    (state / "x").write_text("old")
    (state / "x.new").write_text("new")
    (programs / "y.new").mkdir()
    assert wait_until(lambda: {path.name for path in scanner.held[-2:]} == {"x.new", "y.new"})
    rename = r"""
        try { [IO.File]::Replace('C:\ProgramData\nbserver\x.new', 'C:\ProgramData\nbserver\x', [NullString]::Value); 'replaced' }
        catch { '{0:x8}' -f $_.Exception.InnerException.HResult }
        try { [IO.Directory]::Move('C:\Program Files\nbserver\y.new', 'C:\Program Files\nbserver\y'); 'moved' }
        catch { '{0:x8}' -f $_.Exception.InnerException.HResult }
    """
    try:
        assert run(rename) == ["80070498", "80070021"]
        assert (state / "x.new").exists() and not (state / "x").exists(), "the old file is gone"
    finally:
        scanner.let_go()
        scanner.file_seconds, scanner.folder_seconds = FILE_SECONDS, FOLDER_SECONDS
    (state / "x").write_text("old")
    assert run(rename) == ["replaced", "moved"]
    (state / "x").unlink()
    (programs / "y").rmdir()
    for folder in created:
        folder.rmdir()


def test_the_memory_of_a_shell(run: Run, windows_host: WindowsBox) -> None:
    ask = "(Get-WSManInstance -ResourceURI winrm/config/winrs).MaxMemoryPerShellMB"
    endpoint = (
        "(Get-WSManInstance -ResourceURI winrm/config/plugin -SelectorSet @{ Name = 'Microsoft.PowerShell' }).Quotas.MaxMemoryPerShellMB"
    )
    assert run(f"{ask}; {endpoint}") == ["2048", "2048"]
    limit = windows_host.path(r"C:\nbserver-test") / "MaxMemoryPerShellMB.txt"
    limit.write_text("150\n")
    try:
        assert run(ask) == ["150"]
    finally:
        limit.unlink()


def test_a_task_runs_outside_the_session_until_it_is_stopped(run: Run, windows_host: WindowsBox) -> None:
    scheduler = windows_host.scheduler
    endless = ("%SystemRoot%\\system32\\cmd.exe", "/c &quot;echo begun &amp; ping -n 600 127.0.0.1 &gt;nul&quot;")
    assert run(register("endless", endless)) == ["Ready"]
    usual, scheduler.delay = scheduler.delay, 600
    assert run("Start-ScheduledTask -TaskName endless; (Get-ScheduledTask -TaskName endless).State") == ["Queued"]
    scheduler.delay = usual
    assert wait_until(lambda: "begun" in scheduler.output("endless"))
    assert windows_host.snapshot()["running"] == ["endless"]
    assert run("(Get-ScheduledTask -TaskName endless).State") == ["Running"]
    assert run("Stop-ScheduledTask -TaskName endless; (Get-ScheduledTask -TaskName endless).State") == ["Ready"]
    # at the next start of the machine it begins by itself
    scheduler.boot()
    assert wait_until(lambda: scheduler.output("endless").count("begun") == 2)
    # and, as on Windows, taking the task away does not end its program
    assert run("Unregister-ScheduledTask -TaskName endless -Confirm:$false") == []
    assert scheduler.is_running("endless")
    scheduler.shut_down()
    assert not scheduler.is_running("endless")
    assert run("@(Get-ScheduledTask -TaskName endless -ErrorAction SilentlyContinue).Count") == ["0"]


def test_a_tasks_actions_run_in_order_and_end_by_themselves(run: Run, windows_host: WindowsBox) -> None:
    ask = "Write-Output (&apos;state &apos; + (Get-ScheduledTask -TaskName two).State)"
    powershell = ("powershell.exe", f"-NoProfile -NonInteractive -Command &quot;{ask}&quot;")
    assert run(register("two", ("cmd.exe", "/c exit 3"), powershell)) == ["Ready"]
    run("Start-ScheduledTask -TaskName two")
    assert windows_host.scheduler.wait("two")
    assert windows_host.scheduler.exit_codes("two") == [3, 0]
    assert wait_until(lambda: "state Running" in windows_host.scheduler.output("two"))
    assert wait_until(lambda: run("(Get-ScheduledTask -TaskName two).State") == ["Ready"])
    exported = run("Export-ScheduledTask -TaskName two")[0]
    assert "<URI>\\two</URI>" in exported and exported == windows_host.snapshot()["tasks"]["two"]
    assert run("Unregister-ScheduledTask -TaskName two -Confirm:$false; @(Get-ScheduledTask).TaskName") == ["Unrelated maintenance"]


def test_a_task_is_written_as_the_service_has_it(run: Run) -> None:
    """Defaults are left out, others are filled in, and the order is the service's."""
    xml = """<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
        <Triggers><TimeTrigger><Repetition><Interval>PT5M</Interval></Repetition><StartBoundary>2020-01-01T00:00:00</StartBoundary>
        <Enabled>true</Enabled></TimeTrigger><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
        <Principals><Principal id="Author"><UserId>S-1-5-19</UserId><RunLevel>LeastPrivilege</RunLevel>
        <ProcessTokenSidType>Unrestricted</ProcessTokenSidType></Principal></Principals>
        <Settings><StartWhenAvailable>true</StartWhenAvailable><ExecutionTimeLimit>PT0S</ExecutionTimeLimit><Enabled>true</Enabled>
        <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries><IdleSettings><Duration>PT10M</Duration></IdleSettings></Settings>
        <Actions Context="Author"><Exec><Command>cmd.exe</Command></Exec></Actions></Task>"""
    written, again = run(rf"""
        [void](Register-ScheduledTask -TaskName other -Xml '{xml}')
        $text = Export-ScheduledTask -TaskName other; $text -replace '\s*\r\n\s*'
        [void](Register-ScheduledTask -TaskName other -Xml $text -Force); $text -ceq (Export-ScheduledTask -TaskName other)
        Unregister-ScheduledTask -TaskName other -Confirm:$false
    """)
    assert (
        written.partition(">")[2]
        == (
            '<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">'
            r"<RegistrationInfo><URI>\other</URI></RegistrationInfo>"
            '<Principals><Principal id="Author"><UserId>S-1-5-19</UserId></Principal></Principals>'
            "<Settings><DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries><StopIfGoingOnBatteries>true</StopIfGoingOnBatteries>"
            "<ExecutionTimeLimit>PT0S</ExecutionTimeLimit><MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>"
            "<StartWhenAvailable>true</StartWhenAvailable>"
            "<IdleSettings><StopOnIdleEnd>true</StopOnIdleEnd><RestartOnIdle>false</RestartOnIdle></IdleSettings></Settings>"
            "<Triggers><TimeTrigger><StartBoundary>2020-01-01T00:00:00</StartBoundary><Repetition><Interval>PT5M</Interval></Repetition>"
            "</TimeTrigger><BootTrigger /></Triggers>"
            '<Actions Context="Author"><Exec><Command>cmd.exe</Command></Exec></Actions></Task>'
        )
        and again == "True"
    )


def test_a_disabled_task_does_not_start(run: Run, windows_host: WindowsBox) -> None:
    script = register("off", ("cmd.exe", "/c exit 0")).replace("<Settings><Enabled>true", "<Settings><Enabled>false")
    assert run(script) == ["Disabled"]
    windows_host.scheduler.boot()
    assert not windows_host.scheduler.exit_codes("off") and not windows_host.scheduler.is_running("off")
    assert run(r"""
        try { Start-ScheduledTask -TaskName off } catch { $_.FullyQualifiedErrorId }
        Unregister-ScheduledTask -TaskName off -Confirm:$false
    """) == ["HRESULT 0x80041326,Start-ScheduledTask"]


def test_port_filters_are_found_by_protocol(run: Run) -> None:
    assert run(r"""
        $null = New-NetFirewallRule -Name tcp -DisplayName T -Protocol TCP -LocalPort 9999, 9000-9005
        $null = New-NetFirewallRule -Name udp -DisplayName U -Protocol UDP -LocalPort 9999
        Get-NetFirewallPortFilter -Protocol TCP | ForEach-Object { "$($_.InstanceID) $($_.LocalPort -join ',') $((Get-NetFirewallRule -Name $_.InstanceID).Enabled)" } | Sort-Object
        Remove-NetFirewallRule -Name tcp, udp
    """) == ["tcp 9999,9000-9005 True", "Unrelated-In-TCP 8443 True"]


def test_a_task_is_disabled_and_enabled_and_is_as_before(run: Run, windows_host: WindowsBox) -> None:
    before = windows_host.snapshot(except_=("*",))["tasks"]
    assert run(r"""
        $task = Get-ScheduledTask -TaskName 'Unrelated maintenance'
        "$($task.State) $($task.Actions[0].Execute) $($task.Actions[0].Arguments)"
        (Disable-ScheduledTask -TaskName 'Unrelated maintenance' -TaskPath '\').State
        (Get-ScheduledTask -TaskName 'Unrelated maintenance').State
    """) == ["Ready cmd.exe /c exit 0", "Disabled", "Disabled"]
    assert windows_host.snapshot(except_=("*",))["tasks"] != before
    assert run("(Enable-ScheduledTask -TaskName 'Unrelated maintenance').State") == ["Ready"]
    assert windows_host.snapshot(except_=("*",))["tasks"] == before


def test_processes_have_their_real_parents_and_command_lines(run: Run) -> None:
    name, parent, line = run(r"""
        $process = Get-CimInstance -ClassName Win32_Process -Filter "ProcessId = $PID"
        $process.Name
        (Get-CimInstance -ClassName Win32_Process -Filter "ProcessId = $($process.ParentProcessId)") -and $true
        $process.CommandLine
    """)
    assert name == "pwsh.exe" and parent in ("True", "False") and "pwsh" in line.lower()


def test_it_is_a_server_with_settings_of_others(run: Run, windows_host: WindowsBox) -> None:
    registry = windows_host.snapshot()["registry"]
    assert [registry[key]["IsInstalled"] for key in IE_ESC.values()] == ["dword:00000001"] * 2
    assert registry[ENVIRONMENT]["PATH"] == f"REG_EXPAND_SZ:{MACHINE_PATH}"
    assert run(r"""
        (Get-ItemProperty HKLM:\SYSTEM\CurrentControlSet\Control\ProductOptions).ProductType
        [Environment]::GetEnvironmentVariable('Path', 'Machine').StartsWith('C:\windows\system32;')
    """) == ["ServerNT", "True"]


def test_a_snapshot_sees_each_kind_of_change(run: Run, windows_host: WindowsBox) -> None:
    before = windows_host.snapshot()
    assert windows_host.snapshot() == before
    key = r"HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
    run(rf"""
        $null = New-ItemProperty '{key}' PATH -Value '{MACHINE_PATH}' -PropertyType String -Force
        $null = New-Item 'HKLM:\SOFTWARE\Microsoft\Active Setup\Installed Components\new' -Force
        $null = New-Item -ItemType Directory C:\ProgramData\new
        [IO.File]::WriteAllText('C:\ProgramData\new\file.txt', 'one')
        [IO.File]::WriteAllText('C:\ProgramData\new\other.txt', 'one')
    """)
    after = windows_host.snapshot(except_=["ProgramData/new/other*"])
    assert after["registry"].keys() - before["registry"].keys() == {rf"{ACTIVE_SETUP}\Installed Components\new"}
    assert after["registry"][ENVIRONMENT]["PATH"].startswith('"%SystemRoot%')  # the same text, another type
    assert after["files"].keys() - before["files"].keys() == {"ProgramData/new", "ProgramData/new/file.txt"}
    windows_host.path(r"C:\ProgramData\new\file.txt").write_text("two")
    changed = windows_host.snapshot()["files"]
    assert changed["ProgramData/new/file.txt"] != after["files"]["ProgramData/new/file.txt"]
    run(rf"""
        $null = New-ItemProperty '{key}' PATH -Value '{MACHINE_PATH}' -PropertyType ExpandString -Force
        Remove-Item 'HKLM:\SOFTWARE\Microsoft\Active Setup\Installed Components\new'
        Remove-Item -Recurse C:\ProgramData\new
    """)
    assert windows_host.snapshot() == before
