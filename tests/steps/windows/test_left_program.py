"""The program of a run whose engine was killed: the next run ends it, or waits for an installer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from nbserver.render.step_files import PRELUDE
from tests.boxes.windows_image import scripts_windows
from tests.boxes.wine import linux_path
from tests.powershell.engine import Session, host_path, prelude
from tests.steps.windows.place import SETTINGS, Place, place, session
from tests.steps.windows.test_python import STAND_INS
from tests.waiting import wait_until

__all__ = ["place", "session"]


@pytest.fixture(scope="module", autouse=True)
def processes(session: Session) -> None:
    """The session can ask for the processes of its Windows."""
    session.keep("\n".join(f". '{host_path(STAND_INS / name)}.ps1'" for name in ("native", "cim")))


@pytest.fixture
def victim(place: Place) -> Iterator[Session]:
    """An engine of its own, with the same prelude and the place's state folder."""
    with Session() as opened:
        stand_ins = "\n".join(f". '{host_path(STAND_INS / name)}.ps1'" for name in ("state", "acl"))
        opened.keep(
            f"$Mode = 'apply'; {SETTINGS}\n{stand_ins}\n{prelude(*(name.rpartition('/')[2] for name in PRELUDE['ps_scripts', 'machine']))}"
        )
        yield opened


def lock(place: Place) -> str:
    return f"$StateFolder = '{host_path(place.state)}'; $LockFile = '{host_path(place.state)}\\lock'; "


def begin(place: Place, victim: Session, name: str) -> int:
    """The ID of a program of this name, which has a child; the engine that ran it is killed."""
    system = linux_path(scripts_windows(), r"C:\windows\system32")
    shutil.copyfile(system / "cmd.exe", place.folder / name)
    program = f"$p = [Diagnostics.Process]::Start((New-ProgramStart '{host_path(place.folder)}\\{name}' @('/c', 'ping', '-n', '600', '127.0.0.1') @{{}}))"
    lines = victim.run(
        f"{lock(place)}$Run.Id = 'killed-1'; Enter-Lock; {program}; Write-Lock \"`n$(Get-ProgramMark $p)\"; [string]$p.Id; [string]$PID"
    )
    place.run(f"(Get-Process -Id {lines[1]}).Kill()")
    return int(lines[0])


def running(place: Place, process: int) -> list[str]:
    return place.run(
        f"Get-CimInstance -ClassName Win32_Process | Where-Object {{ $_.ProcessId -eq {process} -or $_.ParentProcessId -eq {process} }} | ForEach-Object {{ $_.Name }}"
    )


def test_what_a_killed_run_left_is_ended_first(place: Place, victim: Session) -> None:
    process = begin(place, victim, "python.exe")
    assert wait_until(lambda: "ping.exe" in map(str.lower, running(place, process)))
    said = place.run(f"{lock(place)}$Run.Id = 'next-2'; Enter-Lock; Stop-LeftProgram; Get-LockOwner; Exit-Lock; Get-Said")
    owner, *events = said
    assert owner.startswith("run next-2, mode ") and "program" not in owner
    (warned,) = (event for event in map(json.loads, events) if event["event"] == "warning")
    assert (warned["code"], warned["values"]) == ("waiting-for-left-program", {"run": "killed-1", "id": process})
    assert running(place, process) == []
    assert place.run(f"{lock(place)}Enter-Lock; Stop-LeftProgram; Exit-Lock; Get-Said") == [], "the lock is empty after a run"


def test_an_installer_is_not_interrupted(place: Place, victim: Session) -> None:
    process = begin(place, victim, "installer.exe")
    assert wait_until(lambda: "ping.exe" in map(str.lower, running(place, process)))
    wait = f"{lock(place)}$LeftSeconds = 2; $Run.Id = 'next-2'; Enter-Lock; try {{ Stop-LeftProgram }} catch {{ $_.Exception.Data['code'] }} finally {{ $Run.Lock.Close(); $Run.Lock = $null }}; Get-Said"
    assert place.run(wait)[0] == "left-program-runs"
    assert "installer.exe" in running(place, process)
    left = (place.state / "lock").read_text()
    assert f"program {process} " in left, "a run that is killed while it waits leaves the same words"
    place.run(f"{lock(place)}$Run.Id = 'third-3'; Enter-Lock; Exit-Lock")
    assert (place.state / "lock").read_text() == left, "and so does a run that was refused"
    place.run(
        f"Get-CimInstance -ClassName Win32_Process | Where-Object {{ $_.ProcessId -eq {process} -or $_.ParentProcessId -eq {process} }} | ForEach-Object {{ (Get-Process -Id $_.ProcessId).Kill() }}"
    )


def test_another_process_with_that_number_is_left_alone(place: Place) -> None:
    said = place.run(
        f'{lock(place)}[IO.File]::WriteAllText($LockFile, "run killed-1, mode apply`nprogram $PID 638000000000000000"); Enter-Lock; Stop-LeftProgram; Exit-Lock; Get-Said'
    )
    assert said == []
