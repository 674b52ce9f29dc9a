"""A Windows host on which a script of a few real steps runs: seconds instead of the minutes of a whole installation."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbserver.base.modes import Mode
from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHost
from nbserver.run.host_run import HostRun
from nbserver.run.journal import Journal, new_run_id
from nbserver.run.result import Result
from nbserver.transports.psrp.transport import PsrpTransport
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.endpoint import Endpoint
from tests.some_steps import script_of, shared_settings

PASSWORD = "Tr0ub4dor"
STATE, PROGRAMS = r"C:\ProgramData\nbserver", r"C:\Program Files\nbserver"
CACHE = STATE + r"\cache"


@dataclass(frozen=True)
class Ran:
    result: Result
    events: list[dict[str, Any]]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]

    @property
    def failure(self) -> str:
        return " ".join(str(one["text"]) for one in self.of("failed"))


class StepHost:
    """`steps` and `settings` (laid over those that every script has) are those of the next run."""

    def __init__(self, windows: WindowsBox, endpoint: Endpoint, folder: Path, steps: Sequence[str], **settings: Any) -> None:
        assert endpoint.certificate
        self.windows, self.folder, self.steps = windows, folder, steps
        self.settings: dict[str, Any] = {
            **shared_settings("win1"),
            "adopt": False,
            "architecture": "x64",
            "downloads": {"mirror": None, "proxy": None, "source": "direct"},
            **settings,
        }
        written = {
            "system": "windows",
            "address": "127.0.0.1",
            "port": endpoint.port,
            "auth": "basic",
            "user": endpoint.user,
            "password.env": "STEPS_PASSWORD",
            "fingerprint": endpoint.certificate.fingerprint,
            "notebook.password.env": "STEPS_PASSWORD",
        }
        (folder / "nbserver.toml").write_text(
            "\n".join(["[hosts.win1]", *(f"{key} = {json.dumps(value)}" for key, value in written.items()), ""])
        )
        host = reader.load(folder / "nbserver.toml").hosts["win1"]
        assert isinstance(host, WindowsHost)
        self.host = host

    def run(self, mode: Mode) -> Ran:
        """One run by the real HostRun, with a real journal."""
        script = script_of(self.settings, (), self.steps)
        journal = Journal(self.folder / "runs", new_run_id(), mode, "me")
        part = journal.host(script)
        try:
            run = HostRun(self.host, script, mode, journal.run, part, lambda name, event: None)
            result = run.execute(lambda: PsrpTransport(self.host, PASSWORD, threading.Event()), "me", {}, threading.Event())
        finally:
            part.close()
        lines = (self.folder / "runs" / journal.run / "win1" / "events.jsonl").read_text("utf-8").splitlines()
        return Ran(result, [json.loads(line) for line in lines])

    def record(self) -> list[dict[str, Any]]:
        """The lines of the record on the host."""
        file = self.windows.path(STATE) / "record.jsonl"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []

    def clean_up(self) -> None:
        """The host as it was before any run, as far as folders go."""
        for folder in (STATE, PROGRAMS):
            shutil.rmtree(self.windows.path(folder), ignore_errors=True)
