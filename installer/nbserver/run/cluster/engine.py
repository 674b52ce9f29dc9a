"""Run hosts on the workers of a cluster. The journal, the view, and everything that is decided stay on the workstation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbserver.base.errors import HostError, JournalError, StreamError
from nbserver.base.message import cause
from nbserver.events.reader import EventError, parse
from nbserver.run import past_host
from nbserver.run.cluster.errand import Errand
from nbserver.run.cluster.host_work import HostWork
from nbserver.run.cluster.parcel import Parcel
from nbserver.run.host_call import fail_for_leak
from nbserver.run.result import Result
from nbserver.transports.transport import StopRequested

if TYPE_CHECKING:
    from nbserver.run.cluster.approval_copy import ApprovalCopy
    from nbserver.run.cluster.cluster import Cluster
    from nbserver.run.host_call import HostCall, Listener
    from nbserver.run.host_job import HostJob
    from nbserver.run.journal import HostJournal
    from nbserver.run.past_host import PastHost
    from nbserver.run.secret_mask import SecretMask

# A run that another worker continues has another number on the host: not that of a run that `resume` continues.
TAKEN_OVER = 1000


class ClusterEngine:
    """Runs each host on a worker. `mask_of` returns a mask of the secrets of one host: a worker gets no others."""

    def __init__(
        self, cluster: Cluster, approval: ApprovalCopy, places: Mapping[str, str], mask_of: Callable[[HostJob], SecretMask]
    ) -> None:
        self._cluster, self._approval, self._places, self._mask_of = cluster, approval, places, mask_of
        self.forks: int | None = cluster.threads

    def execute(self, call: HostCall, journal: HostJournal, stop: threading.Event, shown: Listener) -> Result:
        """Return the result of the host's run. Raises JournalError if what happened cannot be recorded. This machine runs its own."""
        if call.job.host.transport == "local":
            return call.execute(journal, stop, shown)
        return _HostErrand(self, call, journal, shown).result(stop)

    def errand(self, host: str, work: Callable[[str, bool], Any], hear: Callable[[str, Any], Any], note: Callable[[str], None]) -> Errand:
        """Return the errand for a host."""
        return Errand(self._cluster, host, self._places.get(host), work, hear, note)

    def parcel(self, call: HostCall) -> Parcel[HostWork]:
        """Return what a worker needs for a call. Raises HostError if the hash of the password cannot be computed, and StopRequested."""
        portable, mask = call.portable(), self._mask_of(call.job)
        if portable.password:
            hashed = portable.password.compute()
            mask.add(hashed, hashed.rpartition("$")[2])
        return Parcel(HostWork(replace(portable, mask=mask), self._approval))


class _HostErrand:
    """One host of a run: its journal has everything that a worker reports, and what another worker needs to continue."""

    def __init__(self, engine: ClusterEngine, call: HostCall, journal: HostJournal, shown: Listener) -> None:
        self._engine, self._call, self._journal, self._shown = engine, call, journal, shown
        self._host, self._mask = call.job.host.name, call.mask
        self._attempt = 0
        self._leaks = False

    def result(self, stop: threading.Event) -> Result:
        errand = self._engine.errand(self._host, self._work, self._hear, self._journal.note)
        try:
            result: Result = errand.run(stop)
        except JournalError:
            raise
        except (HostError, StopRequested) as error:
            result = self._cut_off(error)
        self._mask.result(result)
        if self._leaks:
            fail_for_leak(result, self._journal)
        return result

    def _work(self, worker: str, is_first: bool) -> Parcel[HostWork] | Result:
        if is_first:
            return self._engine.parcel(self._call)
        self._attempt += 1
        past = self._past()
        if past.is_finished:
            return past.result
        if not past.sent and not past.legs:  # no worker has sent the script
            return self._engine.parcel(self._call)
        self._journal.note("another worker continues the run")
        return self._engine.parcel(replace(self._call, past=past))

    def _past(self) -> PastHost:
        call = self._call
        number = TAKEN_OVER * ((call.past.number if call.past else 0) + 1) + self._attempt
        return past_host.read(Path(self._journal.folder), call.job.script, call.mode, call.run, number)

    def _hear(self, kind: str, value: Any) -> Any:
        if kind == "ask-sent":
            try:
                return self._journal.sent(value)
            except JournalError as error:
                return error  # the worker does not send the script then
        if kind == "note":
            self._journal.note(*value)
        elif kind == "event":
            self._event(value)
        return None

    def _event(self, line: str) -> None:
        clean = self._mask.line(line)
        self._leaks = self._leaks or clean != line
        try:
            event = parse(clean)
        except EventError as error:
            raise StreamError(
                "worker-output-invalid",
                "the worker reported an invalid event: {reason}",
                host=self._host,
                todo="Install the same release of nbserver on all machines",
                reason=cause(error, 4000),
            ) from None
        self._journal.event(event)
        with suppress(Exception):  # as in HostCall
            self._shown(self._host, event)

    def _cut_off(self, error: HostError | StopRequested) -> Result:
        """Return the result of a host of which no worker reports any more. It can be continued unless it had ended."""
        past = self._past()
        result = past.result
        if past.is_finished:
            return result
        if past.sent and self._call.mode != "test":
            result.changed = None
        changed = result.changed
        if isinstance(error, HostError):
            result.fail(error)
            result.changed = changed
            if not past.sent:
                result.outcome = "unreachable"
            self._journal.note(result.error)
        else:
            result.outcome = "stopped"
        return result
