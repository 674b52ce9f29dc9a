"""The workstation's end of one host's run: who gets an answer, whose messages count, and what happens when a worker is replaced."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from nbserver.base.errors import ConnectError, ScriptError
from nbserver.run.cluster import errand as errands
from nbserver.run.cluster import parcel, ticket
from nbserver.run.cluster.channel import Channel
from nbserver.run.cluster.errand import Errand, Nothing
from nbserver.run.cluster.ticket import Request, Ticket
from nbserver.run.cluster.worker_certificate import sign
from nbserver.transports.transport import StopRequested
from tests.cluster.certificates import Certificates
from tests.waiting import wait_until

SECRET = "correct horse battery"


class Scheduler:
    """In the place of a cluster: it keeps what the workstation sends to workers."""

    def __init__(self, certificates: Certificates) -> None:
        self.authorities, self.run, self.key = certificates.ca.read_bytes(), "run-1", X25519PrivateKey.generate()
        self.sent: list[tuple[str, bytes]] = []
        self.is_lost = False
        self.known: dict[str, Any] = {"tls://w": SimpleNamespace(resources={})}
        self.future = SimpleNamespace(status="pending", exception=lambda: None)
        self.listener: Callable[[Any], None] | None = None
        self.call = ""

    def submit(self, host: str, call: str, place: Any, listener: Callable[[Any], None], ended: Callable[[], None]) -> Any:
        self.call, self.ended, self.listener = call, ended, listener
        return self.future

    def ticket(self, host: str, call: str) -> Ticket:
        return Ticket("run-1", host, call, "topic", self.key.public_key().public_bytes_raw(), ticket.release())

    def forget(self, call: str, future: Any) -> None:
        self.listener = None

    def deliver(self, worker: str, session: str, sealed: bytes) -> None:
        self.sent.append((session, sealed))

    def workers(self) -> dict[str, Any]:
        return self.known


class Worker:
    """Somebody who asks for a host, with the certificate of a role."""

    def __init__(self, scheduler: Scheduler, certificates: Certificates, role: str = "worker", **changed: Any) -> None:
        self._scheduler, self.name = scheduler, f"session-{id(self)}"
        own = X25519PrivateKey.generate()
        given = scheduler.ticket("lin1", scheduler.call)
        public, certificate = own.public_key().public_bytes_raw(), (certificates.folder / f"{role}.pem").read_bytes()
        asked = Request(scheduler.call, self.name, "tls://w", ticket.release(), public, certificate)
        signature = sign((certificates.folder / f"{role}.key").read_bytes(), asked.signed_part(given))
        self.request = replace(asked, **{"signature": signature, **changed}).as_message()
        self.channel = Channel(own, given.key, asked.signed_part(given), is_worker=True)

    def ask(self) -> None:
        assert self._scheduler.listener
        self._scheduler.listener(self.request)

    def say(self, kind: str, value: Any) -> None:
        assert self._scheduler.listener
        sealed = self.channel.seal(pickle.dumps((kind, value)))
        self._scheduler.listener({"kind": "sealed", "call": self._scheduler.call, "session": self.name, "data": sealed})

    def received(self) -> list[bytes]:
        return [self.channel.open(sealed) for session, sealed in self._scheduler.sent if session == self.name]


class Site:
    """An errand that runs in a thread."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.certificates, self.stop = Certificates(folder / "certificates"), threading.Event()
        self.scheduler = Scheduler(self.certificates)
        self.firsts: list[bool] = []
        self.heard: list[Any] = []
        self.notes: list[str] = []
        errand = Errand(self.scheduler, "lin1", None, self._work, self._hear, self.notes.append)  # type: ignore[arg-type]
        self.running = pool.submit(errand.run, self.stop)
        assert wait_until(lambda: self.scheduler.listener)

    def _work(self, worker: str, is_first: bool) -> Any:
        self.firsts.append(is_first)
        return parcel.Parcel(SECRET)

    def _hear(self, kind: str, value: Any) -> str:
        self.heard.append(value)
        return f"answer to {value}"

    def worker(self, role: str = "worker", **changed: Any) -> Worker:
        return Worker(self.scheduler, self.certificates, role, **changed)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(errands, "PAUSE", 0.02)
    with ThreadPoolExecutor(1) as pool:
        made = Site(tmp_path, pool)
        yield made
        made.scheduler.is_lost = True  # ends an errand that goes on


def test_only_a_worker_gets_the_parcel(site: Site) -> None:
    others = [
        site.worker("client"),
        site.worker("scheduler"),
        site.worker(signature=b""),
        site.worker(worker="tls://elsewhere"),
        site.worker(release="0.1"),
    ]
    for other in others:
        other.ask()
    assert wait_until(lambda: len(site.notes) == len(others)) and not site.scheduler.sent and not site.firsts
    worker = site.worker()
    worker.ask()
    worker.say("ask-sent", "envelope")
    worker.say("event", "line")
    worker.say("result", 42)
    assert site.running.result(60) == 42 and site.heard == ["envelope", "line"] and site.firsts == [True]
    first, second = worker.received()
    assert parcel.content(parcel.opened(first[1:])) == SECRET and pickle.loads(second[1:]) == "answer to envelope"
    assert all(SECRET.encode() not in sealed for _, sealed in site.scheduler.sent)


def test_messages_of_a_worker_that_was_replaced_do_not_count(site: Site) -> None:
    gone, other = site.worker(), site.worker()
    gone.ask()
    gone.say("event", "1")
    other.ask()
    gone.say("event", "2")
    gone.say("result", "too late")
    other.say("event", "3")
    assert site.scheduler.listener
    site.scheduler.listener({"kind": "sealed", "session": other.name, "data": b"of somebody else"})
    other.say("result", "in time")
    assert site.running.result(60) == "in time" and site.heard == ["1", "3"] and site.firsts == [True, False]


def test_the_operator_stops_a_host(site: Site) -> None:
    worker = site.worker()
    worker.ask()
    assert wait_until(lambda: site.scheduler.sent)
    site.stop.set()
    assert wait_until(lambda: len(site.scheduler.sent) == 2)
    assert worker.received()[1] == errands.STOP
    other = site.worker()
    other.ask()
    with pytest.raises(StopRequested):
        site.running.result(60)
    assert isinstance(parcel.content(parcel.opened(other.received()[0][1:])), Nothing)


def test_what_ends_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.scheduler.future.status = "error"
    site.scheduler.future.exception = lambda: ZeroDivisionError("a bug")
    site.scheduler.ended()
    with pytest.raises(ScriptError, match="ZeroDivisionError: a bug"):
        site.running.result(60)


def test_no_worker_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "NO_WORKER", 0.1)
    site.scheduler.known = {}
    with pytest.raises(ConnectError) as caught:
        site.running.result(60)
    assert caught.value.code == "no-worker-left"


def test_a_worker_that_breaks_is_the_hosts_failure(site: Site) -> None:
    worker = site.worker()
    worker.ask()
    worker.say("broken", "Traceback\n  a line\nValueError: why\n")
    with pytest.raises(ScriptError, match="ValueError: why"):
        site.running.result(60)
    assert "Traceback" in site.notes[-1]
