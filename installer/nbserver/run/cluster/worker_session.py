"""The worker's end: a task asks the workstation for its host, runs it, and reports what happens. It runs in a thread of the worker."""

from __future__ import annotations

import pickle
import queue
import secrets
import threading
import traceback
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from nbserver.run.cluster import parcel, ticket, worker_certificate
from nbserver.run.cluster.channel import Channel, ChannelError
from nbserver.run.cluster.ticket import Request, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 120.0  # seconds until the workstation must have answered
EXTENSION = "nbserver"  # where a worker has its sessions
STOP, ANSWER = b"S", b"A"  # what a message of the workstation begins with


class Work(Protocol):
    """What a parcel has."""

    def perform(self, session: WorkerSession) -> Any:
        """Return the result. Raises nothing that has a secret in its text."""
        ...


class WorkerSession:
    """One channel to the workstation. `stop` is set when the operator stops the run."""

    def __init__(self, worker: Any, given: Ticket) -> None:
        self._worker, self._ticket = worker, given
        own = X25519PrivateKey.generate()
        tls = worker.security.get_tls_config_for_role("worker")
        request = Request(
            given.call,
            secrets.token_hex(16),
            worker.address,
            ticket.release(),
            own.public_key().public_bytes_raw(),
            worker_certificate.pem(tls["cert"]),
        )
        signed = request.signed_part(given)
        self._request = replace(request, signature=worker_certificate.sign(worker_certificate.pem(tls["key"] or tls["cert"]), signed))
        self._channel = Channel(own, given.key, signed, is_worker=True)
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._sending = threading.Lock()
        self.stop = threading.Event()

    @property
    def name(self) -> str:
        return self._request.session

    def received(self, sealed: bytes) -> None:
        """Take a message of the workstation. Raises ChannelError for one that is not from there."""
        data = self._channel.open(sealed)
        if data[:1] == STOP:
            self.stop.set()
        else:
            self._answers.put(data[1:])

    def say(self, kind: str, value: Any) -> None:
        """Send the workstation a message. Messages arrive in their order."""
        with self._sending:
            sealed = self._channel.seal(pickle.dumps((kind, value)))
            self._worker.log_event(self._ticket.topic, {"kind": "sealed", "call": self._ticket.call, "session": self.name, "data": sealed})

    def ask(self, kind: str, value: Any) -> Any:
        """Send a message, and return the answer. Raises TimeoutError."""
        self.say(kind, value)
        return pickle.loads(self._answer())

    def work(self) -> parcel.Parcel[Any]:
        """Return what the workstation has for this worker. Raises TimeoutError."""
        self._worker.log_event(self._ticket.topic, self._request.as_message())
        return parcel.opened(self._answer())

    def _answer(self) -> bytes:
        try:
            return self._answers.get(timeout=PATIENCE)
        except queue.Empty:
            raise TimeoutError(f"the workstation has not answered within {PATIENCE:g} s") from None


def perform(given: Ticket) -> None:
    """Do what the workstation has for a ticket. This is the task that the scheduler knows.

    Its failures are reported through the channel, because the scheduler keeps and shows the exceptions of tasks.
    """
    from distributed import get_worker

    session = WorkerSession(get_worker(), given)
    with _listening(get_worker(), session):
        work = session.work()
        try:
            result = parcel.content(work).perform(session)
        except BaseException as error:
            session.say("broken", "".join(traceback.format_exception(error)))
        else:
            session.say("result", result)


@contextmanager
def _listening(worker: Any, session: WorkerSession) -> Iterator[None]:
    sessions = worker.extensions.setdefault(EXTENSION, {})
    sessions[session.name] = session
    try:
        yield
    finally:
        del sessions[session.name]


def deliver(name: str, sealed: bytes, dask_worker: Any) -> bool:
    """Give a session what the workstation has sealed for it, and return whether it is there. The workstation calls this on the worker."""
    session = dask_worker.extensions.get(EXTENSION, {}).get(name)
    if session is None:
        return False
    try:
        session.received(sealed)
    except ChannelError:
        return False
    return True


def introduced(dask_worker: Any) -> tuple[str, bytes]:
    """Return which nbserver the worker has, and its certificate. The workstation calls this on each worker."""
    return ticket.release(), worker_certificate.pem(dask_worker.security.get_tls_config_for_role("worker")["cert"])
