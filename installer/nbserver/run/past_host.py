"""What a host has done in a run that stopped, from the events in the run directory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nbserver.base.errors import StreamError
from nbserver.base.existing import exists
from nbserver.base.modes import Mode
from nbserver.events.reader import Event, EventError, parse
from nbserver.render.script import Script
from nbserver.run import past_files
from nbserver.run.envelope import BOOT, RUN_ID, Envelope
from nbserver.run.host_run import RUN_TIMEOUT
from nbserver.run.leg import Leg
from nbserver.run.result import Result

FINAL = ("ok", "differs", "failed")


@dataclass
class PastHost:
    """The legs of one host so far, and the result that they have.

    `run` is the ID of the run, and `number` says how often it has been continued. `sent` is the ID in the last envelope, or "" if
    nothing was sent, and `boot_before` is from the same envelope.
    """

    run: str
    number: int
    legs: list[Leg]
    result: Result
    sent: str = ""
    boot_before: str = ""

    @property
    def last(self) -> Leg | None:
        """The last leg that has reported anything."""
        return self.legs[-1] if self.legs else None

    @property
    def is_finished(self) -> bool:
        """Whether the script has run and reported its final outcome. One that refused to start has not run."""
        leg = self.last
        if leg is None or not leg.ended or self.result.outcome not in FINAL:
            return False
        return leg.hashed and (self.sent in ("", leg.envelope.run))


def read(folder: Path, script: Script, mode: Mode, run: str, number: int) -> PastHost:
    """Return what the host with this folder has done. Raises ApprovalError for a file that nbserver has not written."""
    result = Result(script.host, outcome="stopped", folder=folder)
    past = PastHost(run, number, [], result, *sent(folder))
    found = events(folder)
    for part in parts(found):
        first = part[0].data
        name = first["run"] if part[0].event == "started" and _is_of(run, first["run"]) else past.sent or run
        leg = new_leg(past, script, mode, name)
        past.legs.append(leg)
        try:
            for event in part:
                leg.hear(event.line)
        except StreamError as error:  # the run has failed with it, too
            result.fail(error)
    if found:
        result.seconds = _seconds(found)
    return past


def new_leg(past: PastHost, script: Script, mode: Mode, name: str) -> Leg:
    """Return a leg with this run ID, of which nothing is known yet."""
    before = past.last
    changed = before.changed_before + before.changes if before else 0
    boot = past.boot_before if name == past.sent else ""
    envelope = Envelope(mode, name, restarts=9, boot_before=boot)
    words = (before.boot, before.words) if before else ("", "")
    return Leg(script.host, script, envelope, past.result, time.monotonic() + RUN_TIMEOUT, changed, *words)


def events(folder: Path) -> list[Event]:
    """Return the events in the folder of a host. Raises ApprovalError for a line that is not an event, except for an incomplete last one."""
    path = folder / "events.jsonl"
    if not exists(path):
        return []
    try:
        return [parse(line) for line in past_files.read(path).decode("ascii").split("\n")[:-1]]
    except (EventError, UnicodeDecodeError):
        raise past_files.invalid(path) from None


def parts(found: list[Event]) -> list[list[Event]]:
    """Split events at each number that does not follow the one before it: another leg begins."""
    split: list[list[Event]] = []
    for event in found:
        if not split or event.n != split[-1][-1].n + 1:
            split.append([])
        split[-1].append(event)
    return split


def _is_of(run: str, name: str) -> bool:
    return name == run or name.startswith(f"{run}-")


def sent(folder: Path) -> tuple[str, str]:
    """Return the run ID and the boot time in the last envelope."""
    paths = past_files.envelopes(folder)
    if not paths:
        return "", ""
    lines = dict(line.partition(" ")[::2] for line in past_files.read(paths[-1]).decode("utf-8", "replace").split("\n"))
    run, boot = lines.get("run", ""), lines.get("boot-before", "")
    if not RUN_ID.fullmatch(run) or (boot and not BOOT.fullmatch(boot)):
        raise past_files.invalid(paths[-1])
    return run, boot


def _seconds(found: list[Event]) -> float | None:
    try:
        first, last = (datetime.fromisoformat(event.time[:26]) for event in (found[0], found[-1]))
    except ValueError:
        return None
    return max(0.0, round((last - first).total_seconds(), 1))
