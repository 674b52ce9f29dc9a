"""The workstation's connection to a Dask cluster: encrypted, with certificates on both sides, and to workers with the same nbserver."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from distributed import Client, Future
from distributed.security import Security

from nbserver.base.errors import ClusterError
from nbserver.run.cluster import ticket, worker_certificate, worker_session
from nbserver.run.cluster.options import ClusterOptions
from nbserver.run.cluster.worker_certificate import NotAWorkerError

CLOSING = 2.0  # seconds for the scheduler to notice
FRESH = 5.0  # seconds for which a list of the workers counts
Message = Mapping[str, Any]


@dataclass(frozen=True)
class Worker:
    """A worker: how many hosts it runs at a time, and its Dask resources."""

    threads: int
    resources: Mapping[str, float]


class Cluster:
    """An open connection. Several threads use it, each for its host."""

    def __init__(self, client: Client, authorities: bytes, run: str) -> None:
        self._client, self.authorities, self.run = client, authorities, run
        self.key = X25519PrivateKey.generate()
        self.topic = f"nbserver-{run}-{secrets.token_hex(8)}"
        self._listeners: dict[str, Callable[[Message], None]] = {}
        self._workers: dict[str, Worker] = {}
        self._listed = 0.0
        self._listing = threading.Lock()
        client.subscribe_topic(self.topic, self._heard)

    def _heard(self, event: tuple[float, Any]) -> None:
        """Pass a message of a worker on. This is in Dask's own thread. Anybody in the cluster can write to a topic."""
        sent = event[1]
        listener = self._listeners.get(sent.get("call", "")) if isinstance(sent, dict) else None
        if listener is not None:
            listener(sent)

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection to the scheduler. What it knew of this run is lost, even if it comes back."""
        return bool(self._client.status != "running")

    def submit(
        self, host: str, call: str, place: str | None, listener: Callable[[Message], None], ended: Callable[[], None]
    ) -> Future[Any]:
        """Have a worker run a host. `listener` gets its messages, and `ended` is called when the task has ended."""
        self._listeners[call] = listener
        given = ticket.Ticket(self.run, host, call, self.topic, self.key.public_key().public_bytes_raw(), ticket.release())
        resources = {place: 1} if place else None
        key = f"nbserver-{self.run}-{host}-{call[:8]}"
        future: Future[Any] = self._client.submit(worker_session.perform, given, key=key, pure=False, resources=resources)
        future.add_done_callback(lambda _: ended())
        return future

    def ticket(self, host: str, call: str) -> ticket.Ticket:
        """Return the ticket of a call."""
        return ticket.Ticket(self.run, host, call, self.topic, self.key.public_key().public_bytes_raw(), ticket.release())

    def forget(self, call: str, future: Future[Any]) -> None:
        """Take back a task that nobody waits for any more."""
        self._listeners.pop(call, None)
        if not self.is_lost:
            with suppress(Exception):
                future.cancel()

    def deliver(self, worker: str, session: str, sealed: bytes) -> None:
        """Send a sealed message to a worker. A worker that is gone has no use for it: the scheduler finds another one."""
        if self.is_lost:
            return
        with suppress(Exception):
            self._client.run(worker_session.deliver, session, sealed, workers=[worker], on_error="ignore")

    def workers(self) -> dict[str, Worker]:
        """Return the workers by their addresses, as they were a few seconds ago."""
        with self._listing:
            if time.monotonic() - self._listed > FRESH:
                with suppress(OSError):
                    found = self._client.scheduler_info(n_workers=-1)["workers"]
                    self._workers = {name: Worker(one["nthreads"], dict(one["resources"])) for name, one in found.items()}
                self._listed = time.monotonic()
            return self._workers

    def end(self) -> None:
        """Let the scheduler forget what it has passed on: it keeps the last messages of each topic."""
        if not self.is_lost:
            with suppress(Exception):  # a scheduler without nbserver keeps them
                self._client.run_on_scheduler(_forget, self.topic)

    @property
    def threads(self) -> int:
        """How many hosts the workers run at a time, from 1 to 500."""
        return max(1, min(500, sum(worker.threads for worker in self.workers().values())))

    def require_workers(self) -> None:
        """Raise ClusterError unless there are workers, and all have this nbserver and a certificate of a worker."""
        own, found = ticket.release(), self._client.run(worker_session.introduced, on_error="return")
        if not found:
            raise ClusterError(
                "cluster-without-workers", "the Dask cluster has no workers", todo="Start at least one worker, then run the command again"
            )
        for worker, other in sorted(found.items()):
            if isinstance(other, BaseException):
                raise ClusterError(
                    "worker-without-nbserver",
                    "the worker at {worker} could not load nbserver ({reason})",
                    todo="Install nbserver {release} with the extra dask on the worker, and start it again",
                    worker=worker,
                    reason=f"{type(other).__name__}: {other}",
                    release=own,
                )
            release, certificate = other
            if release != own:
                raise ClusterError(
                    "worker-of-other-release",
                    "the worker at {worker} has nbserver {actual}, but this workstation has {expected}",
                    todo="Install the same release of nbserver on both machines",
                    worker=worker,
                    actual=str(release),
                    expected=own,
                )
            try:
                worker_certificate.check_certificate(certificate, self.authorities)
            except NotAWorkerError as error:
                raise ClusterError(
                    "worker-certificate-refused",
                    "nbserver refuses to send host secrets to the worker at {worker}: {reason}",
                    todo="Give each worker a certificate that the cluster's CA issued directly and that has the organizational unit {unit}",
                    worker=worker,
                    reason=str(error),
                    unit=worker_certificate.UNIT,
                ) from None

    def require_places(self, places: Mapping[str, str]) -> None:
        """Raise ClusterError if no worker has the resource of a place. `places` maps hosts to resources."""
        there = {name for worker in self.workers().values() for name in worker.resources}
        for host, place in places.items():
            if place not in there:
                raise ClusterError(
                    "no-worker-at-place",
                    "no worker has the Dask resource {place}, which the host {name} needs",
                    todo='Start a worker with --resources "{place}=50", or change the resource in --place',
                    place=place,
                    name=host,
                )


@contextmanager
def connected(options: ClusterOptions, run: str) -> Iterator[Cluster]:
    """Yield a connection to the scheduler. Raises ClusterError and UsageError."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what fails is reported as a message of nbserver
    try:
        security = Security(require_encryption=True, **{f"tls_{name}": str(path) for name, path in options.files().items()})
        options.require_files(security.tls_ca_file, security.tls_client_cert)
        authorities = worker_certificate.pem(security.tls_ca_file)
        client = Client(options.scheduler, security=security, set_as_default=False, name="nbserver", timeout=options.timeout)
    except (OSError, ValueError) as error:
        raise ClusterError(
            "scheduler-not-reached",
            "could not connect to the scheduler {scheduler} ({reason})",
            todo="Check that the address is correct, that the scheduler is running, and that its certificate and yours are from the same CA",
            scheduler=options.scheduler,
            reason=_reason(error),
        ) from None
    cluster = Cluster(client, authorities, run)
    try:
        yield cluster
    finally:
        cluster.end()
        client.close(timeout=CLOSING)


def _forget(topic: str, dask_scheduler: Any) -> None:
    dask_scheduler._broker.truncate(topic)


def _reason(error: BaseException) -> str:
    """Return the innermost cause: Dask's own texts only say how long it has tried."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.strerror}: {Path(error.filename)}"
    return str(error) or type(error).__name__
