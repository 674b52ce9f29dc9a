"""Hosts that exist only in this process, as many as a test wants. Their scripts are not run, but answered with a script's events.

A host keeps its state and the events of each run, as a real one does, so that a run that was cut can be fetched and compared.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbserver.base.errors import ConnectError
from nbserver.inventory import reader
from nbserver.inventory.hosts import Inventory

STEPS = ("preflight", "openssl", "python", "packages", "notebook", "certificate", "service", "firewall")
TIME = "2026-11-22T10:00:00.0000000Z"
Fault = Callable[["Host", str, int], None]
"""What goes wrong when a host is about to send an event: called with the host, the mode, and the event's number. It may raise."""


@dataclass
class Host:
    """One host: the steps that are done, and the events of each run. `fault` is what goes wrong on it."""

    name: str
    fault: Fault = lambda host, mode, n: None
    done: set[str] = field(default_factory=set)
    runs: dict[str, list[str]] = field(default_factory=dict)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, steps: Sequence[str], mode: str, run: str, script: str) -> list[str]:
        """The events of the run, or of a script that refuses an ID which the host has."""
        if run in self.runs:
            said = {"code": "run-id-used", "values": {"run": run}, "text": f'this host already has a run with the ID "{run}"'}
            ended = {"outcome": "failed", "differs": False, "changed": 0, "reboot": False, "fingerprint": ""}
            return [_event(1, "", "failed", **said), _event(2, "", "finished", **ended)]
        self.work(steps, mode, run, script)
        return self.runs[run]

    def work(self, steps: Sequence[str], mode: str, run: str, script: str) -> None:
        """Run to the end, whoever listens: the events are in `runs` before the first is sent."""
        events = self.runs[run] = []
        number = itertools.count(1)

        def say(step: str, event: str, **data: Any) -> None:
            events.append(_event(next(number), step, event, **data))

        digest = hashlib.sha256(script.encode()).hexdigest()
        say("", "started", run=run, mode=mode, operator="", release="0.1.0", host=self.name, script_sha256=digest)
        changed = 0
        for step in steps:
            say(step, "started", title=step)
            if step in self.done:
                say(step, "unchanged")
            elif mode == "test":
                say(step, "difference", what=step, **{"is": None, "should": "done"})
            else:
                self.done.add(step)
                changed += 1
                say(step, "changed")
        differs = len(self.done) < len(steps)
        say("", "finished", outcome="ok", differs=bool(changed) or differs, changed=changed, reboot=False, fingerprint="")


def _event(n: int, step: str, event: str, **data: Any) -> str:
    return json.dumps({"v": 1, "n": n, "time": TIME, "step": step, "event": event, **data})


class Connection:
    """One connection to a host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.deadline = 0.0

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        lines = dict(line.split(" ", 1) for line in envelope)
        mode, run, after = lines["mode"], lines["run"], int(lines.get("after", 0))
        events = self._host.runs.get(run, [])
        if mode != "events":
            with self._host.lock:  # one run at a time, as the lock of a real host sees to
                events = self._host.begin(STEPS, mode, run, script)
        for number, event in enumerate(events, 1):
            if number > after:
                self._host.fault(self._host, mode, number)
                yield event

    def close(self) -> None:
        pass


class Fleet:
    """An inventory in `folder` with `count` hosts, lin0001 and so on, which `connect_to` connects to."""

    def __init__(self, folder: Path, count: int) -> None:
        self.path = folder / "nbserver.toml"
        self.hosts = {name: Host(name) for name in (f"lin{number:04}" for number in range(1, count + 1))}
        self._write(list(self.hosts))

    def leave(self, host: str) -> None:
        """Remove a host from the inventory."""
        self._write([name for name in self.hosts if name != host])

    def _write(self, names: list[str]) -> None:
        tables = "".join(f'[hosts.{name}]\naddress = "{name}.example"\n' for name in names)
        defaults = '[defaults]\nsystem = "linux"\nuser = "root"\nnotebook.password = { env = "NOTEBOOK_PASSWORD" }\n'
        self.path.write_text(f"{defaults}[groups.all]\nhosts = {json.dumps(names)}\n{tables}", "utf-8")

    def inventory(self) -> Inventory:
        return reader.load(self.path)

    def connect_to(self, host: Any, logon: Any, stop: threading.Event) -> Connection:
        """In the place of nbserver.transports.connect.connect_to."""
        found = self.hosts[host.name]
        found.connections += 1
        found.fault(found, "connect", 0)
        return Connection(found)


def dead(host: Host, mode: str, n: int) -> None:
    """It never answers."""
    raise ConnectError("ssh-nothing-listening", "{place} refused the connection", host=host.name, place=f"{host.name}:22")


def drops_after(last: int, times: int = 1) -> Fault:
    """The connection is lost after an event, on the first `times` connections. The script goes on."""
    left = [times]

    def fault(host: Host, mode: str, n: int) -> None:
        if mode != "connect" and n > last and left[0]:
            left[0] -= 1
            raise ConnectError("connection-lost", "the connection was lost", host=host.name)

    return fault
