"""The Windows on which the small script runs: started anew before each case, looked at between runs."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbserver.base.modes import Mode
from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHost
from nbserver.run.envelope import Envelope
from nbserver.run.host_run import HostRun
from nbserver.run.journal import Journal, new_run_id
from nbserver.run.result import Result
from nbserver.transports.psrp.transport import PsrpTransport
from nbserver.transports.transport import Transport
from tests.boxes.task_scheduler import TASKS
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.endpoint import Endpoint
from tests.faults.small_script import small_script

PASSWORD = "Tr0ub4dor"
GROUND, STATE, PLACE = r"C:\faults", r"C:\ProgramData\nbserver", r"C:\Program Files\nbserver faults"
CLOSING_TASK = "nbserver-close-guard"
EVIDENCE = ("runs", "lock", "record.jsonl")  # what undo leaves below STATE, beside an empty folder for copies
WINE_LEAVES = re.compile(r"rf[0-9a-f]+\.tmp")  # Wine's ReplaceFile, when it fails; Windows' does not
TOO_LONG = 900.0  # seconds after which a run of the small script does not end any more
PREPARE = r"""
$key, $environment = 'HKLM:\SOFTWARE\nbserver faults', 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment'
[void](New-Item -Path $key -Force)
Set-ItemProperty -LiteralPath $key -Name Guard -Value 1 -Type DWord
Set-ItemProperty -LiteralPath $key -Name Old -Value '%SystemDrive%\theirs' -Type ExpandString
$path = (Get-Item -LiteralPath $environment).GetValue('Path', $null, 'DoNotExpandEnvironmentNames')
Set-ItemProperty -LiteralPath $environment -Name Path -Value ($path -replace ';[^;]*nbserver faults[^;]*', '') -Type ExpandString
"""
LOOK = r"""
$found = @{}
foreach ($key in 'HKLM:\SOFTWARE\nbserver faults', 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment') {
    $item = Get-Item -LiteralPath $key
    foreach ($name in $item.GetValueNames()) {
        $found["$(Split-Path -Leaf $key)|$name"] = "$($item.GetValueKind($name)):$($item.GetValue($name, $null, 'DoNotExpandEnvironmentNames'))"
    }
}
ConvertTo-Json $found -Compress
"""


@dataclass(frozen=True)
class Ran:
    """One run: its name, how it ended, the lines of its journal and what its log says."""

    id: str
    result: Result
    lines: list[str]
    log: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def told(self) -> list[tuple[int, str, str]]:
        """(number, step, event) of each event."""
        return [(event["n"], event["step"], event["event"]) for event in self.events]


class Kept:
    """A transport that outlives its runs: the shell of a lost connection goes on, so the next run can use it again."""

    def __init__(self, host: WindowsHost) -> None:
        self.host = host
        self.stop = threading.Event()
        self.transport: PsrpTransport | None = None

    def __call__(self) -> Transport:
        return self

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        self.transport = self.transport or PsrpTransport(self.host, PASSWORD, self.stop)
        yield from self.transport.run(script, envelope)

    def close(self) -> None:
        """Not yet."""

    def forget(self) -> None:
        """The next run opens a shell of its own."""
        self.transport = None
        self.stop = threading.Event()


class SmallHost:
    """`struck` is the endpoint that suffers, `steady` the one to look through and to run what is not to be disturbed."""

    def __init__(self, windows: WindowsBox, struck: Endpoint, steady: Endpoint, folder: Path) -> None:
        self.windows, self.struck_endpoint, self.steady_endpoint, self.folder = windows, struck, steady, folder
        self.inventories = {"struck": self._inventory(struck, "struck"), "steady": self._inventory(steady, "steady")}
        self.struck = Kept(reader.load(self.inventories["struck"]).hosts["win1"])
        self.steady = Kept(reader.load(self.inventories["steady"]).hosts["win1"])
        self.script = small_script("win1")
        self.ground, self.state_folder = windows.path(GROUND), windows.path(STATE)

    def _inventory(self, endpoint: Endpoint, name: str) -> Path:
        assert endpoint.certificate
        settings = {
            "system": "windows",
            "address": "127.0.0.1",
            "port": endpoint.port,
            "auth": "basic",
            "user": endpoint.user,
            "password.env": "FAULTS_PASSWORD",
            "fingerprint": endpoint.certificate.fingerprint,
            "notebook.password.env": "FAULTS_PASSWORD",
        }
        file = self.folder / f"{name}.toml"
        file.write_text("\n".join(["[hosts.win1]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items()), ""]))
        return file

    # -- before a case

    def prepare(self) -> dict[str, Any]:
        """The host as it was before any run. Returns its state."""
        self.release()
        for path in (self.ground, self.state_folder, self.windows.path(PLACE)):
            shutil.rmtree(path, ignore_errors=True)
        (self.windows.path(TASKS) / CLOSING_TASK).unlink(missing_ok=True)
        (self.ground / "site").mkdir(parents=True)
        (self.ground / "site" / "old.txt").write_text("theirs")
        self.ask(PREPARE)
        return self.state()

    def clean_up(self) -> None:
        """Leaves the host to other tests as it was."""
        self.prepare()
        for path in (self.ground, self.state_folder):
            shutil.rmtree(path, ignore_errors=True)
        self.ask(r"Remove-Item -LiteralPath 'HKLM:\SOFTWARE\nbserver faults' -Force")

    # -- runs

    def ask(self, script: str) -> list[str]:
        """What a few lines of PowerShell say."""
        return list(self.steady.run(script, ["-"]))

    def run(self, mode: Mode, connect: Callable[[], Transport] | None = None, operator: str = "me") -> Ran:
        """One run by the real HostRun with a real journal, over `connect` (default: steady)."""
        journal = Journal(self.folder / "runs", new_run_id(), mode, operator)
        part = journal.host(self.script)
        watchdog = threading.Timer(TOO_LONG, self._give_up)
        watchdog.start()
        try:
            run = HostRun(self.steady.host, self.script, mode, journal.run, part, lambda name, event: None)
            result = run.execute(connect or self.steady, operator, {}, threading.Event())
        finally:
            ended = not watchdog.finished.is_set()
            watchdog.cancel()
            part.close()
        assert ended, f"the run did not end within {TOO_LONG:.0f} s and had to be stopped: {result.as_json()}"
        return self.ran(journal.run, result)

    def _give_up(self) -> None:
        """A run that does not end is stopped, and other shells are used after it."""
        for way in (self.struck, self.steady):
            way.stop.set()
            way.forget()

    def ran(self, run: str, result: Result) -> Ran:
        folder = self.folder / "runs" / run / "win1"
        return Ran(run, result, (folder / "events.jsonl").read_text("utf-8").splitlines(), (folder / "log.txt").read_text("utf-8"))

    @contextlib.contextmanager
    def running(self, mode: Mode, connect: Callable[[], Transport]) -> Iterator[list[Ran]]:
        """The same in a thread of its own; its one result is in the list after the block."""
        done: list[Ran] = []
        thread = threading.Thread(target=lambda: done.append(self.run(mode, connect)), daemon=True)
        thread.start()
        try:
            yield done
        finally:
            self.release()
            thread.join(2 * TOO_LONG)
        assert done, "the run did not end"

    def events_of(self, run: str, after: int = 0) -> list[str]:
        """What mode events says of a run."""
        return list(self.steady.run(self.script.text, Envelope("events", run, after=after).lines()))

    # -- gates

    def order(self, name: str, text: str) -> None:
        """Writes `hold` or `fail`, whole and at once."""
        new = self.ground / f"{name}.new"
        new.write_text(text)
        new.replace(self.ground / name)

    def release(self) -> None:
        for name in ("hold", "fail"):
            (self.ground / name).unlink(missing_ok=True)

    def gates(self) -> list[tuple[int, int, str]]:
        """(gate, events written before, step) of each gate that was reached since `prepare`."""
        file = self.ground / "gates"
        rows = [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []
        return [(int(row[0]), int(row[1]), row[2]) for row in rows]

    def wait_for_gate(self, gate: int) -> None:
        wait_until(lambda: any(row[0] >= gate for row in self.gates()))

    # -- looking

    def state(self) -> dict[str, Any]:
        """What the small script may change, and what undo must put back."""
        return {
            "registry": json.loads("".join(self.ask(LOOK))),
            "tasks": {file.name: file.read_bytes() for file in sorted(self.windows.path(TASKS).iterdir())},
            "files": {
                **self._files(self.ground / "site"),
                **self._files(self.windows.path(PLACE)),
                **self._files(self.state_folder, EVIDENCE),
            },
            "record": self.record(),
        }

    def _files(self, folder: Path, except_: tuple[str, ...] = ()) -> dict[str, bytes | None]:
        return {
            str(path.relative_to(folder.parent)): None if path.is_dir() else path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.relative_to(folder).parts[0] not in except_
            and path != self.state_folder / "before"
            and not WINE_LEAVES.fullmatch(path.name)
        }

    def record(self) -> list[Any]:
        file = self.state_folder / "record.jsonl"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []

    def guard(self) -> str:
        return str(json.loads("".join(self.ask(LOOK)))["nbserver faults|Guard"])

    def guard_task(self) -> bool:
        return (self.windows.path(TASKS) / CLOSING_TASK).exists()

    def applied(self, run: str) -> list[str]:
        """The steps whose Apply began in a run, in their order."""
        file = self.ground / "applied"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.split(" ")[1] for line in lines if line.startswith(run)]

    def lock(self) -> str:
        """The text of the lock file."""
        file = self.state_folder / "lock"
        return file.read_text("utf-8") if file.exists() else ""

    def host_events(self, run: str) -> Path:
        return self.state_folder / "runs" / run / "events.jsonl"


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
