"""A Windows that really goes down when its `shutdown.exe` is called: engines die, its port refuses, it starts at a later time."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbserver.base.modes import Mode
from nbserver.inventory.windows_host import WindowsHost
from nbserver.run.host_run import HostRun
from nbserver.run.journal import Journal, new_run_id
from nbserver.transports.psrp.transport import PsrpTransport
from nbserver.transports.transport import Transport
from tests.faults.small_host import PASSWORD, Ran, SmallHost
from tests.faults.small_script import FOLDER, small_script
from tests.waiting import wait_until

Way = Callable[[WindowsHost, str, threading.Event], Transport]
OWN = Path(__file__).parent
STEP_FILES = {"guard": FOLDER, "text": FOLDER, **dict.fromkeys(("tool", "tool2", "pending", "vc_redist", "openssl"), OWN)}
CALLS, CODES = r"C:\nbserver-test\installer-calls.txt", r"C:\nbserver-test\installer-codes.txt"
SHUTDOWN, SETUP = r"C:\windows\system32\shutdown.exe", r"C:\faults\setup.exe"
BOOT = r"C:\nbserver-test\boot.txt"


@dataclass
class RebootingHost:
    """`setup` is the stand-in for an installer. `restarts` counts what really happened; `seen` is what `look` saw as Windows went down."""

    small: SmallHost
    setup: Path
    goes_down: bool = True
    comes_back: bool = True
    delay: float = 1.5  # seconds after the run's last event, in which it still answers
    look: Callable[[], Any] = lambda: None
    restarts: int = 0
    seen: list[Any] = field(default_factory=list)
    before_boot: Callable[[], None] = lambda: None

    def prepare(self, *codes: int) -> None:
        """The host as it was before any run; the coming installers and shutdowns end with `codes`."""
        self.small.prepare()
        windows = self.small.windows
        for name in (CALLS, BOOT):
            windows.path(name).unlink(missing_ok=True)
        windows.path(CODES).write_text("".join(f"{code}\n" for code in codes))
        shutil.copy(self.setup, windows.path(SETUP))
        self.restarts, self.seen = 0, []

    def run(self, mode: Mode, reboot: str, steps: tuple[str, ...], stop: threading.Event | None = None, way: Way = PsrpTransport) -> Ran:
        """One run of the small script with these steps, under the setting `reboot`; Windows restarts whenever it is told to."""
        small = self.small
        script = small_script("win1", {name: STEP_FILES[name] for name in steps}, reboot=reboot, certificate={"source": "request"})
        journal = Journal(small.folder / "runs", new_run_id(), mode, "me")
        part = journal.host(script)
        over = threading.Event()
        power = threading.Thread(target=self._power, args=(over, journal.run), daemon=True)
        power.start()
        try:
            host = small.struck.host.model_copy(update={"reboot": reboot})
            asked = stop or threading.Event()
            run = HostRun(host, script, mode, journal.run, part, lambda name, event: None)
            result = run.execute(lambda: way(host, PASSWORD, asked), "me", {}, asked)
        finally:
            over.set()
            power.join(300)
            part.close()
            if not self.comes_back:
                small.struck_endpoint.power_on()
        return small.ran(journal.run, result)

    def calls(self, program: str) -> list[str]:
        """The command lines with which a program was called."""
        file = self.small.windows.path(CALLS)
        return [line for line in (file.read_text().splitlines() if file.exists() else []) if program in line]

    def _finished(self, run: str) -> int:
        """How many runs on the host have told the workstation their end."""
        return (self.small.folder / "runs" / run / "win1" / "events.jsonl").read_text("utf-8").count('"event":"finished"')

    def _power(self, over: threading.Event, run: str) -> None:
        ended = False
        while not ended:
            ended = over.wait(0.05)
            if not self.goes_down or len(self.calls("shutdown.exe")) == self.restarts:
                continue
            self.seen.append(self.look())
            wait_until(lambda: over.is_set() or self._finished(run) > self.restarts)  # a real one has ten seconds for it
            over.wait(self.delay)
            self.restarts += 1
            self.small.windows.scheduler.shut_down()
            self.small.struck_endpoint.power_off()
            if self.comes_back:
                self.small.windows.path(BOOT).write_text(f"2026-11-22T20:{self.restarts:02}:00Z")
                self.before_boot()
                over.wait(0.5)
                self.small.windows.scheduler.boot()
                self.small.struck_endpoint.power_on()


def guard_is_up(host: SmallHost) -> bool:
    """The bracket is closed: the value is as it was, and no startup task is left."""
    return host.guard() == "DWord:1" and not host.guard_task()
