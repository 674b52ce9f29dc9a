"""Send hosts what they lack of a bundle before an apply, or say before a plan what an apply would send.

A host is asked what it has, and gets the rest in batches, each of which is a run. It can then be set up without any network.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import ScriptError
from nbserver.base.message import counted
from nbserver.base.standard_streams import say
from nbserver.bundle.approval import Demand
from nbserver.bundle.contents import File
from nbserver.bundle.host_files import HostFiles
from nbserver.commands.notebooks import remembering
from nbserver.events.reader import Event
from nbserver.inventory.by_kind import ByKind
from nbserver.render import render
from nbserver.run import approved, delivery, operation
from nbserver.run.batches import Policy
from nbserver.run.delivery import Delivery
from nbserver.run.result import Result
from nbserver.run.transfer import HostFile
from nbserver.view.one_summary import BeforeRun, OneSummary

if TYPE_CHECKING:
    from nbserver.base.modes import Mode
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.options import Options
    from nbserver.run.past_run import PastRun
    from nbserver.run.view import View
    from nbserver.settings.secret import Ask

ATTEMPTS = 3  # deliveries to a host whose connection is lost, as long as each of them brings something
LOST = frozenset({"timeout", "refused"})  # the kinds of failures after which a host may still take the rest
CUT_OFF = "delivery-cut-off"  # the code of a script that got only a part of the data
DONE = ("stored", "incomplete")
SECONDS = 0.25  # between two lines about the progress of a host

# Bytes of one run. By default, a Windows host accepts 50 MiB per command, in which the data is Base64.
largest = ByKind(
    windows=lambda host: 36_000_000,
    linux=lambda host: 500_000_000,
    local_windows=lambda host: 36_000_000,
    local_linux=lambda host: 500_000_000,
)


def operate(
    mode: Mode,
    inventory: Inventory,
    hosts: Sequence[AnyHost],
    options: Options,
    ask: Ask | None,
    view: View,
    past: PastRun | None = None,
    *,
    as_json: bool = False,
    quiet: bool = False,
) -> dict[str, Result]:
    """Do what operation.operate does. Hosts with downloads.source = "push" get what they lack before an apply.

    A host that does not get it has the failure as its result in the run, and in the summary. Raises ApprovalError for a bundle
    that is not as listed, or lacks something, or an approval that the site demands, before a host is contacted.
    """
    pushed = [host for host in hosts if host.downloads.source == "push"] if mode in ("test", "apply") else []
    if not pushed:
        return operation.operate(mode, inventory, hosts, options, ask, view, past)
    approved.require_each([mode], hosts, options)
    shown, ask = OneSummary(view), remembering(ask)
    courier = Courier(inventory, options, ask, BeforeRun(view), _files(pushed, options), as_json)
    pending, failed = courier.missing(pushed)
    if mode == "apply" and not courier.stop.is_set():
        failed |= courier.deliver([host for host in pushed if pending.get(host.name)], pending)
    if courier.stop.is_set():  # Ctrl-C is for all hosts
        failed = {host.name: Result(host.name, outcome="stopped") for host in hosts} | failed
    results = operation.operate(mode, inventory, hosts, replace(options, undelivered=failed), ask, shown, past)
    if mode == "test" and as_json:
        _print_pending(pending)
    shown.show(mode, results)  # for a program, this is the last line
    if mode == "test" and not as_json and not quiet:
        _show_pending(pending)
    return results


def _files(hosts: Sequence[AnyHost], options: Options) -> dict[str, dict[str, tuple[File, Path]]]:
    """Return the files of each host by their names, and where they are on the workstation."""
    demand = Demand(options.signers, options.approvals, options.site, by_person=False)
    files, found = HostFiles(demand), {}
    for host, (script, _) in zip(hosts, render.render_each(hosts), strict=True):
        bundle = host.downloads.bundle
        assert bundle is not None  # a rule of the inventory
        found[host.name] = {one.file: (one, bundle / one.path) for one in files.of(script, bundle)}
    return found


Pending = dict[str, list[tuple[File, int]]]
"""What each host needs: files, and how many bytes of them it has."""


@dataclass(frozen=True)
class Courier:
    """Asks hosts what they have, and sends them the rest. `files` has the files of each host by their names. Ctrl-C sets `stop`."""

    inventory: Inventory
    options: Options
    ask: Ask | None
    view: View
    files: Mapping[str, Mapping[str, tuple[File, Path]]]
    as_json: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def missing(self, hosts: Sequence[AnyHost]) -> tuple[Pending, dict[str, Result]]:
        """Return what each host needs, and the results of those that did not answer."""
        hosts = [host for host in hosts if self.files[host.name]]
        if not hosts:
            return {}, {}
        offers = {host.name: Delivery({}, delivery.offer(self._offered(host))) for host in hosts}
        results = self._operate("missing", hosts, offers)
        pending: Pending = {}
        failed: dict[str, Result] = {}
        for host in hosts:
            result = results[host.name]
            if result.outcome == "ok" and not _fail_unlisted(result):
                pending[host.name] = delivery.waiting(self._offered(host), result.files)
            else:
                failed[host.name] = result
        return pending, failed

    def deliver(self, hosts: Sequence[AnyHost], pending: Pending) -> dict[str, Result]:
        """Send what is pending, batch after batch, to all hosts at the same time. Return the results of the hosts that did not get all of it."""
        failed: dict[str, Result] = {}
        for attempt in range(1, ATTEMPTS + 1):
            results = self._send(hosts, pending)
            lost = [host for host in hosts if _is_lost(results[host.name])]
            failed |= {name: result for name, result in results.items() if result.outcome != "ok"}
            if not lost or attempt == ATTEMPTS or self.stop.is_set():
                break
            left, unanswered = self.missing(lost)
            hosts = [host for host in lost if host.name in left and _bytes(left[host.name]) < _bytes(pending[host.name])]
            failed |= unanswered
            for host in hosts:
                failed.pop(host.name, None)
            hosts = [host for host in hosts if left[host.name]]  # of the others, only the answer was lost
            pending = {host.name: left[host.name] for host in hosts}
            if not hosts:
                break
        return failed

    def _send(self, hosts: Sequence[AnyHost], pending: Pending) -> dict[str, Result]:
        waiting = {host.name: list(delivery.batches(pending[host.name], largest(host))) for host in hosts}
        progress = Progress(self.view if not self.as_json else None, {name: _bytes(files) for name, files in pending.items()})
        results: dict[str, Result] = {}
        while any(waiting.values()) and not self.stop.is_set():
            now = {name: batches.pop(0) for name, batches in waiting.items() if batches}
            paths = {name: {part.path: self.files[name][part.path][1] for part in parts} for name, parts in now.items()}
            transfers = {name: Delivery(paths[name], parts, progress.sent) for name, parts in now.items()}
            done = self._operate("deliver", [host for host in hosts if host.name in now], transfers)
            for name, result in done.items():
                _fail_unless_stored(result)
                results[name] = result
                if result.outcome != "ok":
                    waiting[name] = []
        return results | {name: Result(name, outcome="stopped") for name, batches in waiting.items() if batches}

    def _operate(self, mode: Mode, hosts: Sequence[AnyHost], transfers: Mapping[str, Delivery]) -> dict[str, Result]:
        options = replace(self.options, transfers=transfers, passwords={}, policy=Policy())  # the run that follows counts the failures
        return operation.operate(mode, self.inventory, hosts, options, self.ask, self.view, stop=self.stop)

    def _offered(self, host: AnyHost) -> list[File]:
        return [file for file, _ in self.files[host.name].values()]


class Progress:
    """Shows how much was sent. `totals` has the number of bytes for each host."""

    def __init__(self, view: View | None, totals: Mapping[str, int]) -> None:
        self._view, self._totals = view, totals
        self._done = dict.fromkeys(totals, 0)
        self._next = dict.fromkeys(totals, 0.0)
        self._lock = threading.Lock()

    def sent(self, host: str, count: int) -> None:
        """Count bytes that are on their way to a host."""
        with self._lock:
            self._done[host] += count
            if self._view is None or time.monotonic() < self._next[host]:
                return
            self._next[host] = time.monotonic() + SECONDS
            done = self._done[host]
        about = {"what": "Sending downloads", "done": done, "total": self._totals[host], "unit": "bytes"}
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
        self._view.event(host, Event(1, moment, "delivery", "progress", about, ""))


def _bytes(files: Sequence[tuple[File, int]]) -> int:
    return sum((file.size or 0) - begin for file, begin in files)


def _is_lost(result: Result) -> bool:
    """Return whether the connection was lost in the middle of a delivery."""
    reason = result.detail.get("values", {}).get("reason") if isinstance(result.detail.get("values"), dict) else None
    code = reason.get("code") if isinstance(reason, dict) else None
    return result.outcome == "failed" and (code == CUT_OFF or result.error_kind in LOST)


def _fail_unlisted(result: Result) -> bool:
    """Return whether a host refuses a file that the inventory offers, and make that its failure."""
    return _fail_for(result, [file for file in result.files if file.state == "refused"])


def _fail_unless_stored(result: Result) -> None:
    if result.outcome == "ok":
        _fail_for(result, [file for file in result.files if file.state not in DONE])


def _fail_for(result: Result, files: Sequence[HostFile]) -> bool:
    if files:
        result.fail(
            ScriptError(
                "delivery-not-stored",
                "the host did not store {count} of the bundle's files, such as {path} ({state})",
                host=result.host,
                todo="Run the command again. If it fails again, check the host's log in the run directory",
                count=len(files),
                path=files[0].path,
                state=files[0].state,
            )
        )
    return bool(files)


def _print_pending(pending: Pending) -> None:
    """Print what an apply would send to each host, for a program."""
    for name, files in pending.items():
        say(json.dumps({"event": "delivery", "host": name, "files": len(files), "bytes": _bytes(files)}))


def _show_pending(pending: Pending) -> None:
    """Print what an apply would send to each host, for a person."""
    for name, files in pending.items():
        if files:
            size = f"{_bytes(files) / 1e6:.1f}"
            say(
                counted(
                    "{name}  apply would send {count} file, {size} MB",
                    "{name}  apply would send {count} files, {size} MB",
                    len(files),
                    name=name,
                    size=size,
                )
            )
