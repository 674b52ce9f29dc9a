"""`nbserver events`: fetch and show the events of a run that its host has kept."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base import plain_file
from nbserver.base.errors import HostError, Interrupted
from nbserver.base.standard_streams import warn
from nbserver.events.reader import Event, EventError, EventOrder, parse
from nbserver.render import render
from nbserver.run import approved, chain_check, evidence_log, fleet, host_job, operation, past_host, run_id, run_lock
from nbserver.run.envelope import Envelope
from nbserver.run.fetched_run import FetchedLeg, fetch
from nbserver.run.host_run import RUN_TIMEOUT
from nbserver.run.journal import FOLDER, HostJournal
from nbserver.run.options import Options
from nbserver.run.result import Result, exit_code
from nbserver.transports import connect
from nbserver.transports.transport import StopRequested, Transport

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.host_job import HostJob
    from nbserver.run.secret_mask import SecretMask
    from nbserver.run.view import View
    from nbserver.settings.secret import Ask

_LATER = re.compile(r"(.+?)(?:-r[0-9]+)?(?:-[0-9])?")  # the ID of a leg: that of the run, and what `resume` and a restart add


def events(
    inventory: Inventory, run: str, host: AnyHost, runs: Path | None, ask: Ask | None, view: View, options: Options | None = None
) -> int:
    """Show the events of `run` that this workstation does not have yet, follow the run if it is running, and return the exit code.

    The script is sent again to read them, so it must be approved if `options` or the site demand it, for any mode.

    Events of a run of this workstation are added to its run directory, unless the run is still in progress: its own process does
    that. Raises NbserverError before the host is contacted, and Interrupted after Ctrl-C, which does not stop the run.
    """
    run_id.require(run)
    ((script, _),) = render.render_all([host])
    approved.require("events", [host], {host.name: script}, options or Options())
    job = host_job.prepare_all([host], {host.name: script}, "events", Options(), ask)[host.name]
    kept = _folder(runs or inventory.path.parent / FOLDER, run, host.name)
    for folder in filter(os.path.lexists, (kept.parent, kept)):
        chain_check.require_closed(folder)
    with ExitStack() as stack:
        # While the run is in progress here, its own process writes these files.
        is_writer = os.path.isdir(kept) and run_lock.attempt(kept.parent, stack)  # noqa: PTH112 (Path.is_dir raises PermissionError)
        leg = _kept(kept, run)
        return _fetched(job, leg, kept, operation.mask_of(inventory, [job]), view, is_writer=is_writer and leg.is_last)


@dataclass(frozen=True)
class KeptLeg:
    """What the run directory has of a run on the host. After a restart of Windows, and after `resume`, a run continues there under another ID.

    `is_last` is whether no other leg follows, so that events can be added.
    """

    run: str
    events: list[Event]
    is_last: bool


def _folder(runs: Path, run: str, host: str) -> Path:
    """Return the folder of the host in the run directory. The ID can be that of a later leg."""
    found = _LATER.fullmatch(run)
    if found and not os.path.lexists(runs / run) and os.path.lexists(runs / found[1]):
        return runs / found[1] / host
    return runs / run / host


def _fetched(job: HostJob, known: KeptLeg, kept: Path, mask: SecretMask, view: View, *, is_writer: bool) -> int:
    """Fetch the events, and return the exit code. They are added to the folder `kept` if this process `is_writer`."""
    host, script, run = job.host, job.script, known.run
    result = Result(host.name, outcome="running")
    leg = FetchedLeg(host.name, script, Envelope("events", run, restarts=9), result, time.monotonic() + RUN_TIMEOUT)
    leg.sent_sha256 = _sent(kept)
    for event in known.events:
        leg.hear(event.line)
    journal = HostJournal.reopened(kept, script, mask.text) if is_writer else None
    stop = threading.Event()

    def connected() -> Transport:
        return mask.watch(connect.connect_to(host, job.logon, stop), lambda: None)

    def heard(event: Event) -> None:
        if journal:
            journal.event(event)
        with suppress(Exception):  # the output may be closed
            view.event(host.name, event)

    def work() -> Result:
        try:
            if not leg.ended:
                fetch(leg, connected, stop, heard)
        except StopRequested:
            result.outcome = "stopped"
        except HostError as error:
            mask.error(error)
            result.fail(error)
        with suppress(Exception):
            view.host_ended(result)
        return result

    view.begin("events", {host.name: script.steps})
    try:
        fleet.for_each({host.name: work}, 1, stop, lambda: None)
    except KeyboardInterrupt:
        stop.set()
    finally:
        view.end()
        if journal:
            journal.close()
            if journal.chain.exists():
                for warning in evidence_log.write(kept.parent.name, "events", operation.operator(), kept.parent, journal.chain.head()):
                    warn(warning)
    if stop.is_set():
        raise Interrupted(
            "events-interrupted",
            "the command was interrupted; the run on the host continues",
            todo="To follow it again, run nbserver events {run} {name}",
            run=run,
            name=host.name,
        )
    view.summary("events", {host.name: result}, kept.parent)
    return exit_code({host.name: result})


def _kept(folder: Path, run: str) -> KeptLeg:
    """Return the leg with this ID. If `run` is the ID of the run directory, return its last leg."""
    legs = past_host.parts(_events(folder))
    names = [str(leg[0].data.get("run", "")) for leg in legs]
    sent = past_host.sent(folder)[0]
    if run == folder.parent.name and legs:
        last = legs[-1][-1]
        if last.event == "finished" and last.data.get("restarting") and sent.startswith(f"{run}-"):
            run = sent  # Windows restarts
        elif names[-1].startswith(f"{run}-"):
            run = names[-1]
    if run in names:
        number = names.index(run)
        return KeptLeg(run, _in_order(legs[number]), number == len(legs) - 1)
    return KeptLeg(run, [], not legs or run == sent)


def _events(folder: Path) -> list[Event]:
    """Return the events in the run directory. A last line without a line end is not complete."""
    path = folder / "events.jsonl"
    if not os.path.lexists(path):
        return []
    lines = plain_file.read(path, chain_check.LARGEST, advice=chain_check.KEPT).decode("ascii", "replace").split("\n")[:-1]
    found: list[Event] = []
    with suppress(EventError):
        for line in filter(None, lines):
            found.append(parse(line))
    return found


def _in_order(found: list[Event]) -> list[Event]:
    """Return the events up to the first gap."""
    order, kept = EventOrder(), []
    with suppress(EventError):
        for event in found:
            if order.accept(event):
                kept.append(event)
    return kept


def _sent(folder: Path) -> str:
    """Return the hash of the script that this workstation sent in the run, or "" if it is not known."""
    path = folder / "script.sha256"
    if not os.path.lexists(path):
        return ""
    return plain_file.read(path, 1000, advice=chain_check.KEPT).decode("ascii", "replace").partition(" ")[0]
