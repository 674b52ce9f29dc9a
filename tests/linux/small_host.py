"""Runs of the small script on this machine, over a real sshd, by the real HostRun with a real journal."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbserver.base.modes import Mode
from nbserver.events.reader import Event
from nbserver.inventory.linux_host import LinuxHost
from nbserver.run.envelope import Envelope
from nbserver.run.host_run import HostRun
from nbserver.run.journal import Journal, new_run_id
from nbserver.run.result import Result
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets, Transport
from tests.boxes.ssh.fixtures import text_of, wait_until
from tests.boxes.ssh.wire import Wire
from tests.linux.small_script import small_script


@dataclass(frozen=True)
class Ran:
    """One run: its name, how it ended, and the lines of its journal."""

    id: str
    result: Result
    lines: list[str]

    @property
    def told(self) -> list[tuple[int, str, str]]:
        """(number, step, event) of each event."""
        events = [json.loads(line) for line in self.lines]
        return [(event["n"], event["step"], event["event"]) for event in events]


class SmallHost:
    """`steady` reaches the host as it is; the first connection of a run goes through `wire`, which a test may cut."""

    def __init__(self, steady: LinuxHost, wire: Wire, place: Path, runs: Path) -> None:
        self.steady, self.wire, self.place, self.runs = steady, wire, place, runs
        self.struck = steady.model_copy(update={"port": wire.port})
        self.site, self.state_folder = place / "site", place / "data" / "state"
        self.script = small_script(steady.name, place)
        self.heard = self.connections = 0
        self.at_second: Callable[[], object] = lambda: None

    def prepare(self) -> dict[str, Any]:
        """The host as it was before any run. Returns its state."""
        shutil.rmtree(self.place, ignore_errors=True)
        (self.site / "theirs").mkdir(parents=True)
        (self.site / "theirs").chmod(0o2755)
        (self.site / "old.txt").write_text("theirs")
        (self.site / "old.txt").chmod(0o604)
        self.at_second = lambda: None
        return self.state()

    # -- runs

    def _connect(self) -> Transport:
        self.connections += 1
        if self.connections == 2:
            self.at_second()
        return connect_to(self.struck if self.connections == 1 else self.steady, LogonSecrets(), threading.Event())

    def run(self, mode: Mode, operator: str = "me") -> Ran:
        journal = Journal(self.runs, new_run_id(), mode, operator)
        part = journal.host(self.script)
        self.heard = self.connections = 0

        def heard(name: str, event: Event) -> None:
            self.heard = event.n

        try:
            run = HostRun(self.struck, self.script, mode, journal.run, part, heard)
            result = run.execute(self._connect, operator, {}, threading.Event())
        finally:
            part.close()
        return Ran(journal.run, result, self.journal(journal.run))

    def by_hand(self, mode: Mode) -> Ran:
        """A whole run without an orchestrator: a second less."""
        run, file = new_run_id(), self.place / "by-hand.sh"
        file.write_text(self.script.text)
        subprocess.run(
            ["bash", file, "envelope"], input="\n".join([*Envelope(mode, run).lines(), ""]), text=True, capture_output=True, check=True
        )
        lines = self.kept(run)
        return Ran(run, Result(self.steady.name, **{key: json.loads(lines[-1])[key] for key in ("outcome", "changed")}), lines)

    @contextlib.contextmanager
    def running(self, mode: Mode) -> Iterator[list[Ran]]:
        """The same in a thread of its own; its one result is in the list after the block."""
        done: list[Ran] = []
        thread = threading.Thread(target=lambda: done.append(self.run(mode)), daemon=True)
        self.heard = 0
        thread.start()
        try:
            yield done
        finally:
            thread.join(300)
        assert done, "the run did not end"

    # -- gates

    def hold(self, events: int) -> None:
        """Runs wait when they have written so many events."""
        new = self.place / "hold.new"
        new.write_text(f"{events}\n")
        new.replace(self.place / "hold")
        (self.place / "at").unlink(missing_ok=True)

    def wait_until_held(self, events: int) -> None:
        assert wait_until(lambda: text_of(self.place / "at") == f"{events}\n"), f"no run came to event {events}"

    def release(self) -> None:
        (self.place / "hold").unlink(missing_ok=True)

    # -- looking

    def journal(self, run: str) -> list[str]:
        return (self.runs / run / self.steady.name / "events.jsonl").read_text("utf-8").splitlines()

    def kept(self, run: str) -> list[str]:
        """What the host has of a run."""
        return text_of(self.state_folder / "runs" / run / "events.jsonl").splitlines()

    def lock(self) -> str:
        return text_of(self.state_folder / "lock")

    def applied(self, run: str) -> list[str]:
        """The steps whose apply began in a run, in their order."""
        return [line.split(" ")[1] for line in text_of(self.place / "applied").splitlines() if line.startswith(f"{run} ")]

    def state(self) -> dict[str, Any]:
        """What the small script may change, and what undo must put back."""
        files: dict[str, Any] = {}
        for path in sorted([*self.site.rglob("*"), *(self.state_folder / "before").rglob("*")]):
            status = path.stat()
            files[str(path)] = (status.st_mode, status.st_uid, status.st_gid, None if path.is_dir() else path.read_bytes())
        return {"files": files, "record": text_of(self.state_folder / "record.jsonl")}
