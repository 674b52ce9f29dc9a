"""The workstation's end of one host's run: answer the worker that has it, take its messages, and answer the next worker if it is gone."""

from __future__ import annotations

import pickle
import queue
import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbserver.base.errors import ConnectError, ScriptError
from nbserver.run.cluster import ticket, worker_certificate
from nbserver.run.cluster.channel import Channel, ChannelError
from nbserver.run.cluster.parcel import Parcel
from nbserver.run.cluster.ticket import Request
from nbserver.run.cluster.worker_certificate import NotAWorkerError
from nbserver.run.cluster.worker_session import ANSWER, STOP
from nbserver.transports.transport import StopRequested

if TYPE_CHECKING:
    from distributed import Future

    from nbserver.run.cluster.cluster import Cluster, Message

PAUSE = 0.5  # seconds between looks at the operator, and at the connection
NO_WORKER = 300.0  # seconds without any worker that could run a host


class Nothing:
    """The work of a worker that has come too late."""

    def perform(self, session: Any) -> None:
        """Do nothing."""


class Errand:
    """One host's run on workers.

    `work` returns the parcel for a worker, whose name it gets, and `is_first` whether no worker had the host before. It may return the
    result instead, if that is known. `hear` gets the kind and the value of each message, and returns the answer to one that asks.
    """

    def __init__(
        self,
        cluster: Cluster,
        host: str,
        place: str | None,
        work: Callable[[str, bool], Parcel[Any] | Any],
        hear: Callable[[str, Any], Any],
        note: Callable[[str], None],
    ) -> None:
        self._cluster, self._host, self._place = cluster, host, place
        self._work, self._hear, self._note = work, hear, note
        self._call = secrets.token_hex(16)
        self._inbox: queue.Queue[Message | None] = queue.Queue()
        self._channel: Channel | None = None
        self._session = self._worker = ""
        self._stopping = False
        self._alone_since: float | None = None

    def run(self, stop: threading.Event, *, waits: bool = True) -> Any:
        """Return the result. If `stop` is set, wait for it, unless `waits` is False.

        Raises ConnectError, ScriptError, StopRequested, and what `hear` raises.
        """
        future = self._cluster.submit(self._host, self._call, self._place, self._inbox.put, lambda: self._inbox.put(None))
        try:
            while True:
                self._look(stop, waits)
                try:
                    message = self._inbox.get(timeout=PAUSE)
                except queue.Empty:
                    continue
                if message is None:
                    self._check(future)
                elif found := self._took(message):
                    return found[0]
        except BaseException:
            if self._channel:
                self._send(STOP)
            raise
        finally:
            self._cluster.forget(self._call, future)

    def _look(self, stop: threading.Event, waits: bool) -> None:
        if self._cluster.is_lost:
            raise ConnectError(
                "scheduler-lost",
                "the connection to the scheduler was lost, and the script may still be running on the host",
                host=self._host,
                todo="Run nbserver resume {run}",
                run=self._cluster.run,
            )
        if stop.is_set() and not self._stopping:
            self._stopping = True
            if not (self._channel and waits):
                raise StopRequested
            self._send(STOP)
        if not self._channel:
            self._require_worker()

    def _require_worker(self) -> None:
        """Raise ConnectError if there has been no worker for this host for a long time."""
        workers = self._cluster.workers().values()
        if any(self._place is None or self._place in worker.resources for worker in workers):
            self._alone_since = None
            return
        self._alone_since = self._alone_since or time.monotonic()
        if time.monotonic() - self._alone_since > NO_WORKER:
            raise ConnectError(
                "no-worker-left",
                "the cluster has had no worker for this host for {minutes} minutes",
                host=self._host,
                todo="Start workers, then run nbserver resume {run}",
                minutes=f"{NO_WORKER / 60:.0f}",
                run=self._cluster.run,
            )

    def _took(self, message: Message) -> tuple[Any] | None:
        """Take a message, and return the result if it has that. Messages of a worker that was replaced are of no use."""
        if message.get("kind") == "request":
            return self._answer(message)
        if message.get("session") != self._session or self._channel is None:
            return None
        try:
            kind, value = pickle.loads(self._channel.open(message["data"]))
        except (ChannelError, KeyError, TypeError):
            return None  # somebody else in the cluster has written it
        if kind == "result":
            return (value,)
        if kind == "broken":
            self._note(value)
            raise self._failed(value.strip().rpartition("\n")[2])
        self._send(ANSWER + pickle.dumps(self._hear(kind, value))) if kind.startswith("ask-") else self._hear(kind, value)
        return None

    def _answer(self, message: Message) -> tuple[Any] | None:
        """Give a worker what it asks for, if it has proved who it is."""
        try:
            request = Request.of(message)
            given = self._cluster.ticket(self._host, self._call)
            signed = request.signed_part(given)
            subject = worker_certificate.check(request.certificate, signed, request.signature, self._cluster.authorities)
            if request.release != ticket.release():
                raise NotAWorkerError(f"it has nbserver {request.release}")
            channel = Channel(self._cluster.key, request.key, signed, is_worker=False)
        except (NotAWorkerError, ValueError) as error:
            self._note(f"a worker was refused: {error}")
            return None
        is_first, self._channel, self._session, self._worker = self._channel is None, channel, request.session, request.worker
        if self._stopping:
            self._deliver(Parcel(Nothing()))
            raise StopRequested
        self._note(f"the worker {subject} at {request.worker} runs this host")
        work = self._work(request.worker, is_first)
        if isinstance(work, Parcel):
            self._deliver(work)
            return None
        self._deliver(Parcel(Nothing()))
        return (work,)

    def _deliver(self, parcel: Parcel[Any]) -> None:
        assert self._channel is not None  # a request was answered
        self._cluster.deliver(self._worker, self._session, parcel.sealed(self._channel, ANSWER))

    def _send(self, data: bytes) -> None:
        assert self._channel is not None  # a request was answered
        self._cluster.deliver(self._worker, self._session, self._channel.seal(data))

    def _check(self, future: Future[Any]) -> None:
        """Raise the error of a task that has ended without a result."""
        if future.status in ("pending", "cancelled", "lost"):
            return  # the connection is lost, or a worker: `_look` finds the first, and the scheduler the second
        error = future.exception() if future.status == "error" else None
        if type(error).__name__ == "KilledWorker":
            raise ConnectError(
                "workers-died",
                "several workers stopped, one after another, while processing this host",
                host=self._host,
                todo="Check the logs of the workers, then run nbserver resume {run}",
                run=self._cluster.run,
            )
        raise self._failed(f"{type(error).__name__}: {error}" if error else "its task returned nothing")

    def _failed(self, reason: str) -> ScriptError:
        return ScriptError(
            "worker-failed",
            "the worker at {worker} could not process this host ({reason})",
            host=self._host,
            todo="Check the log of the worker, and the host's log in the run directory",
            worker=self._worker or "-",
            reason=reason,
        )
