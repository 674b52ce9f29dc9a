"""What uses a port, and what may be stopped to free it: real processes on a host, found by the functions of the prelude."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.boxes.pool import Run, pool
from tests.boxes.windows import WindowsBox
from tests.hand_made import NSSM, PYTHON, HandMade
from tests.ports import free_port
from tests.powershell.engine import prelude


@pytest.fixture(scope="module")
def ask(windows_host: WindowsBox) -> Iterator[Run]:
    """Run a script after the prelude, and return its output."""
    text = prelude(
        "run",
        "events",
        "envelope",
        "part_data",
        "record",
        "registry",
        "files",
        "tasks",
        "task_states",
        "services",
        "port_process",
        "port_owner",
    ).replace("Set-StrictMode -Version 2", "Set-StrictMode -Version 3")
    with pool(windows_host, lambda script: f"{text}\n{script}") as ask_script:
        yield ask_script


@pytest.fixture
def hand_made(windows_host: WindowsBox) -> Iterator[HandMade]:
    made = HandMade(windows_host, free_port())
    yield made
    made.remove()


def owner(ask: Run, port: int) -> tuple[str, list[str], list[str], str]:
    """Return the kind of what would be stopped, the services, the tasks, and the description."""
    kind, services, tasks, text = ask(f"$o = Get-PortOwner {port}; $o.Kind; $o.Services -join ','; $o.Tasks -join ','; $o.Text")
    return kind, [name for name in services.split(",") if name], [name for name in tasks.split(",") if name], text


def test_a_wrapper_that_was_told_to_run_the_program_is_its_service(ask: Run, hand_made: HandMade) -> None:
    hand_made.service("IPythonNotebook")
    kind, services, tasks, text = owner(ask, hand_made.port)
    assert (kind, services, tasks) == ("service", ["IPythonNotebook"], [])
    assert text.startswith("python.exe, process ") and text.endswith(", service 'IPythonNotebook'")


def test_a_service_that_listens_itself(ask: Run, hand_made: HandMade) -> None:
    hand_made.service("notebooks", program=PYTHON, application=None)
    assert owner(ask, hand_made.port)[:3] == ("service", ["notebooks"], [])


@pytest.mark.parametrize("application", [None, r"C:\Python33\python.exe"])
def test_a_service_further_up_is_not_stopped_and_nothing_below_it_is_ended(ask: Run, hand_made: HandMade, application: str | None) -> None:
    """It may be an SSH server, or an agent that people need."""
    hand_made.service("agent", program=NSSM, application=application)
    kind, services, tasks, text = owner(ask, hand_made.port)
    assert (kind, services, tasks) == ("nothing", [], []) and text.endswith(", below service 'agent'")
    ask(f"Stop-PortOwner {hand_made.port}")
    assert hand_made.host.scheduler.is_running("service.agent")


def test_a_scheduled_task(ask: Run, hand_made: HandMade) -> None:
    hand_made.task("IPython Notebook")
    kind, services, tasks, text = owner(ask, hand_made.port)
    assert (kind, services, tasks) == ("task", [], [r"\IPython Notebook"]) and r"scheduled task '\IPython Notebook'" in text


def test_a_process_that_nobody_runs(ask: Run, hand_made: HandMade) -> None:
    hand_made.process()
    assert owner(ask, hand_made.port)[:3] == ("process", [], [])


def test_a_part_of_windows_is_never_stopped(ask: Run, hand_made: HandMade) -> None:
    hand_made.process()
    script = f"$env:SystemRoot = 'C:\\Python27'; $o = Get-PortOwner {hand_made.port}; $env:SystemRoot = 'C:\\windows'; $o.Kind; $o.Text"
    kind, text = ask(script)
    assert kind == "nothing" and text.endswith(", a part of Windows")


def test_nobody_known_and_nobody_at_all(ask: Run, hand_made: HandMade) -> None:
    hand_made.process()
    (hand_made.host.path(r"C:\nbserver-test\listeners") / str(hand_made.port)).unlink()
    assert owner(ask, hand_made.port) == ("nothing", [], [], "")
    assert owner(ask, free_port()) == ("nothing", [], [], "")
    assert ask(f"[string](Test-PortListening {hand_made.port}); [string](Test-PortListening {free_port()})") == ["True", "False"]


@pytest.mark.parametrize(("second", "stopped"), [(1, ["77"]), (2, [])], ids=["same", "other"])
def test_a_process_that_has_got_the_id_of_another_one_is_not_stopped(ask: Run, second: int, stopped: list[str]) -> None:
    said = ask(
        f"""& {{
        $begun = [DateTime]'2026-11-01'
        function New-Found($Time) {{ @{{ Name = 'x.exe'; ProcessId = 77; ExecutablePath = 'C:\\x.exe'; CreationDate = $Time }} }}
        function Get-PortOwner {{ @{{ Kind = 'process'; Services = @(); Tasks = @(); Process = New-Found $begun.AddSeconds(1) }} }}
        function Get-PortProcess {{ New-Found $begun.AddSeconds({second}) }}
        $asked = @{{ Count = 0 }}
        function Test-PortListening {{ $asked.Count++; $asked.Count -eq 1 }}
        function Stop-Process {{ param($Id, [switch]$Force) "$Id" }}
        Stop-PortOwner 9999
        }}"""
    )
    assert said == stopped


@pytest.mark.parametrize("kind", ["service", "task", "process"])
def test_stopped_and_put_back(ask: Run, hand_made: HandMade, kind: str) -> None:
    record = r"$RecordFile = 'C:\hand made\record.jsonl'; $Run.Step = 'takeover'; "
    getattr(hand_made, kind)(*([] if kind == "process" else ["IPython Notebook"]))
    before = hand_made.host.snapshot(except_=("*",))
    assert before["running"]
    said = ask(f"{record}Stop-PortOwner {hand_made.port}; Get-Said; [string](Test-PortListening {hand_made.port})")
    assert said[-1] == "False"
    assert hand_made.host.snapshot(except_=("*",))["running"] == []
    if kind == "process":
        assert '"event":"warning"' in said[0] and "Undo cannot start it again" in said[0]
        return
    progress = {"service": ["Stopping the service IPython Notebook"], "task": []}[kind]
    assert [json.loads(event)["what"] for event in said[:-1]] == progress
    assert hand_made.host.snapshot(except_=("*",)) != before
    ask(f"{record}foreach ($line in @(Read-Record)) {{ Undo-Line $line }}; @(Read-Record).Count")
    hand_made.files.append(hand_made.host.path(r"C:\hand made\record.jsonl"))
    assert hand_made.host.snapshot(except_=("*",)) == before
