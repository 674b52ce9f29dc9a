"""The scheduled task of the step service: what is written is what is compared, and each property that differs is reported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import TESTS
from tests.powershell.engine import EngineError, Session, host_path, part, prelude, require_engine, steps

SETTINGS = (
    '$Settings = ConvertFrom-Json \'{"scope": "machine", "skip": []}\'; $ConfigurationFile = $StarterFile = $CertificateFile = "C:\\none"\n'
)
STANDINS = """
function Get-EnvironmentProgram([string]$Name) { "C:\\R&D <1>\\$Name" }
function Get-ServerArgument { '-I', 'C:\\a b\\serve.py' }
function Get-LockMark { 'C:\\no environment\\nbserver.lock' }
function Test-TaskRunning { $true }
$Run.Differences = New-Object Collections.ArrayList
$ServiceTask.Started = $false
"""
TASKS = rf"C:\nbserver-test-{os.getpid()}"
REGISTER = """
foreach ($file in [IO.Directory]::GetFiles((Get-StandInFolder 'tasks'))) { [IO.File]::Delete($file) }
[void](Register-ScheduledTask -TaskName nbserver -Xml $xml -Force)
$xml = Export-ScheduledTask -TaskName nbserver
"""
LOOK = 'function Get-TaskXml { $xml }; Compare-ServiceTask; foreach ($one in $Run.Differences) { "$($one.what): $($one.is)" }'


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep("\n".join(f". '{host_path(TESTS / 'boxes' / 'stand_ins' / name)}.ps1'" for name in ("state", "scheduled_tasks")))
        opened.keep(
            f'function global:Get-StandInFolder([string]$Name) {{ [IO.Directory]::CreateDirectory("{TASKS}\\$Name").FullName }}\n'
            f'function global:Get-StandInTaskFile([string]$TaskName) {{ "$(Get-StandInFolder tasks)\\$TaskName" }}'
        )
        files = prelude(
            "run",
            "events",
            "envelope",
            "part_data",
            "record",
            "files",
            "server_command",
            "programs",
            "tasks",
            "task_states",
            "running_server",
            "port_process",
            "reboots",
        )
        main = part("main")
        opened.keep(f"{SETTINGS}{files}\n{steps('service')}\n{main[: main.index('$ScriptText =')]}")
        yield opened
        opened.run(f"if (Test-Path -LiteralPath '{TASKS}') {{ [IO.Directory]::Delete('{TASKS}', $true) }}")


def test_the_task_that_is_written_has_no_difference(session: Session) -> None:
    assert session.run(f"{STANDINS}$xml = Get-ServiceXml\n{LOOK}") == []


def test_what_windows_makes_of_the_task_has_no_difference(session: Session) -> None:
    """It drops what equals the schema's default, fills in others, and has an order of its own."""
    assert session.run(f"{STANDINS}$xml = Get-ServiceXml\n{REGISTER}$before = $xml\n{LOOK}\n'end'") == ["end"]
    assert "RunLevel" not in "".join(session.run(f"{STANDINS}$xml = Get-ServiceXml\n{REGISTER}$xml"))


def test_each_property_that_differs_is_reported(session: Session) -> None:
    change = "$xml = (Get-ServiceXml).Replace('S-1-5-19', 'S-1-5-18').Replace('<Command>', '<Command>x')\n"
    assert session.run(f"{STANDINS}{change}{LOOK}") == [
        "scheduled task nbserver, Principals/Principal/UserId: S-1-5-18",
        r"scheduled task nbserver, Actions/Exec/Command: xC:\R&D <1>\python.exe",
    ]


def test_a_missing_element_means_what_windows_assumes(session: Session) -> None:
    missing = "RunLevel>LeastPrivilege", "ExecutionTimeLimit>PT0S", "Priority>5"
    change = "".join(f".Replace('<{text}</{text.partition('>')[0]}>', '')" for text in missing)
    assert session.run(f"{STANDINS}$xml = (Get-ServiceXml){change}\n{LOOK}") == [
        "scheduled task nbserver, Settings/ExecutionTimeLimit: PT72H",
        "scheduled task nbserver, Settings/Priority: 7",
    ]


def test_a_task_that_is_missing_or_does_not_run_is_a_difference(session: Session) -> None:
    assert session.run(f"{STANDINS}$xml = $null\n{LOOK}") == ["scheduled task nbserver: "]
    stopped = "function Test-TaskRunning { $false }\n$xml = Get-ServiceXml\n"
    assert session.run(f"{STANDINS}{stopped}{LOOK}") == ["scheduled task nbserver: not running"]


AT_BOOT = """
$States = New-Object Collections.Queue (, @('Ready', 'Ready', 'Running', 'Running'))
function Find-Task { [pscustomobject]@{ State = $States.Dequeue() } }
function Test-TaskRunning { (Find-Task).State -eq 'Running' }
function Start-Pause { $script:Pauses++ }
function Get-BootTime { [DateTime]::UtcNow.AddSeconds(-$Age).ToString($BootFormat) }
$script:Pauses = 0; $xml = Get-ServiceXml
"""


@pytest.mark.parametrize(("age", "found"), [(20, ["2"]), (900, ["scheduled task nbserver: not running", "0"])])
def test_a_task_that_windows_is_about_to_start_is_waited_for(session: Session, age: int, found: list[str]) -> None:
    assert session.run(f"{STANDINS}$Age = {age}\n{AT_BOOT}{LOOK}\n[string]$script:Pauses") == found


YOUNG = [(20, "$true", "$false", "2"), (900, "$true", "$false", "0"), (20, "$false", "$false", "0"), (20, "$true", "$true", "0")]


@pytest.mark.parametrize(("age", "running", "differs", "pauses"), YOUNG)
def test_a_server_that_has_just_been_started_is_waited_for(session: Session, age: int, running: str, differs: str, pauses: str) -> None:
    """A plan right after a restart of Windows reported a difference that did not exist, and waited for a server on a new port."""
    young = f"""
    $Run.NewSettings = {differs}
    function Test-ServerRunning {{ {running} }}
    function Get-ProcessBelow {{ foreach ($s in 1, {age}) {{ [pscustomobject]@{{ StartTime = [DateTime]::Now.AddSeconds(-$s) }} }} }}
    function Test-PortListening {{ $script:Pauses -ge 2 }}
    function Start-Pause {{ $script:Pauses++ }}
    $Settings | Add-Member -Force notebook ([pscustomobject]@{{ port = 9999 }}); $script:Pauses = 0
    Wait-YoungServer
    [string]$script:Pauses
    """
    assert session.run(f"{STANDINS}{young}") == [pauses]


# How Get-ScheduledTask says that the task does not exist, and what it says of a damaged task of another program: its category is
# sometimes the same.
MISSING = "-Category ObjectNotFound -ErrorId CmdletizationQuery_NotFound_TaskName"
DAMAGED = "-Category ObjectNotFound -ErrorId 'HRESULT 0x80070002'"


@pytest.mark.parametrize(("kind", "key"), [("task", "nbserver"), ("task_state", r"\\Backup\\nightly")])
def test_a_task_that_cannot_be_read_is_not_taken_for_one_that_is_missing(session: Session, tmp_path: Path, kind: str, key: str) -> None:
    """Undo would forget it, and the server would start again with Windows."""
    ask = f"""$TaskFiles = '{host_path(tmp_path)}'
    function Get-ScheduledTask {{ [CmdletBinding()] param($TaskName, $TaskPath) Write-Error 'Some words.' ERROR }}
    $line = ConvertFrom-Json '{{"kind": "{kind}", "key": "{key}", "before": null}}'
    & $Restore.{kind} $line.key $line.before
    """
    for error in (MISSING, DAMAGED, "-Category PermissionDenied"):
        assert session.run(ask.replace("ERROR", error)) == [], "it has no file"
    file = tmp_path.joinpath(*key.replace("\\\\", "/").strip("/").split("/"))
    file.parent.mkdir(exist_ok=True)
    file.write_text("<Task/>")
    for error in (DAMAGED, "-Category PermissionDenied"):
        with pytest.raises(EngineError, match=r"could not read the scheduled task .*: Some words\. The reason may be a damaged task"):
            session.run(ask.replace("ERROR", error))
    assert session.run(ask.replace("ERROR", MISSING)) == [], "only its file is left"


@pytest.mark.parametrize("error", [DAMAGED, "-Category NotSpecified -ErrorId 'HRESULT 0x80041318'"])
def test_a_damaged_task_of_another_program_does_not_matter(session: Session, error: str) -> None:
    found = f"""
    function Get-ScheduledTask {{
        [CmdletBinding()] param($TaskName, $TaskPath)
        [pscustomobject]@{{ TaskName = $TaskName; State = 'Running' }}
        Write-Error 'The task XML contains a value which is incorrectly formatted or out of range.' {error}
    }}
    "$((Find-Task 'nbserver').State) $(Test-TaskRunning 'nbserver')"; Wait-TaskStart 'nbserver'; Get-Said
    """
    assert session.run(found) == ["Running True"]


@pytest.mark.parametrize(
    "states", [["Running"], ["Ready", "Queued", "Running"], ["Queued", "Ready"]], ids=["at-once", "after-a-moment", "early-crash"]
)
def test_apply_waits_for_the_start_and_leaves_a_crash_to_the_step_check(session: Session, states: list[str]) -> None:
    said = session.run(
        f"""{STANDINS}
        $States = New-Object Collections.Queue (,@({", ".join(f"'{state}'" for state in states)}))
        function Test-TaskRunning {{ 'Running', 'Queued' -contains [string](Get-ScheduledTask).State }}
        function Get-ScheduledTask([string]$TaskName, [string]$TaskPath) {{
            $state = 'Ready'
            if ($Task.Started) {{ $state = $States.Peek(); if ($States.Count -gt 1) {{ [void]$States.Dequeue() }} }}
            @{{ State = $state }}
        }}
        function Start-ScheduledTask([string]$TaskName, [string]$TaskPath) {{ $Task.Started = $true }}
        function Get-TaskXml {{ $Task.Xml }}
        function Set-Task([string]$Name, [string]$Xml) {{ $Task.Xml = $Xml }}
        function Stop-Task {{ }}
        $Task = @{{ Xml = (Get-ServiceXml).Replace('PT5M', 'PT6M'); Started = $false }}
        Invoke-Apply $Steps[0]
        Get-Said | ForEach-Object {{ (ConvertFrom-Json $_).event }}
        "$($States.Count) left"
        """
    )
    assert said == ["started", "difference", "difference", "changed", "1 left"]
