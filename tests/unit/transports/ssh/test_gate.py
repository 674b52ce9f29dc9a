"""Who waits for a turn at a jump host, and what they learn from those before them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from asyncssh import OPEN_CONNECT_FAILED, ChannelOpenError

from nbserver.base.errors import ConnectError
from nbserver.inventory.ssh_server import SshServer
from nbserver.transports.ssh import gate
from nbserver.transports.ssh.jump_errors import of_hop, of_target
from nbserver.transports.transport import StopRequested

HOP = SshServer("bastion", "192.0.2.1", "anna")
DOWN = ConnectError("ssh-no-answer", "it did not answer", host="bastion", todo="Check it")


@pytest.fixture(autouse=True)
def one_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(gate, "LOGONS", 1)
    gate._gates.clear()
    yield
    gate._gates.clear()


class Asked(threading.Event):
    """A stop request that knows whether somebody has asked for it: that is while waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.was = threading.Event()

    def is_set(self) -> bool:
        self.was.set()
        return super().is_set()


def wait_at(hop: SshServer, stop: threading.Event | None = None) -> None:
    with gate.turn_at(hop, stop or threading.Event()):
        pass


def fail_before_another(error: ConnectError) -> BaseException | None:
    """Fail while another host waits, and return its error."""
    inside, fail = threading.Event(), threading.Event()

    def first() -> None:
        with gate.turn_at(HOP, threading.Event()):
            inside.set()
            fail.wait()
            raise error

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(first)
        inside.wait()
        waiting = pool.submit(wait_at, HOP, asked := Asked())
        assert asked.was.wait(60)
        fail.set()
        assert failing.exception() is error
        return waiting.exception()


def test_those_who_waited_get_the_same_error_and_those_who_come_later_try_again() -> None:
    caught = fail_before_another(DOWN)
    assert isinstance(caught, ConnectError)
    assert (caught.code, caught.host, str(caught)) == ("ssh-no-answer", "bastion", str(DOWN))
    wait_at(HOP)


def test_a_connection_that_sshd_dropped_says_nothing_about_the_next_one() -> None:
    """Otherwise each drop of a busy jump host would fail all hosts that wait for it."""
    dropped = ConnectError(
        "ssh-closed-early", "{place} accepted the connection and closed it before the login", host="bastion", place="x:22"
    )
    assert fail_before_another(dropped) is None


def test_an_error_between_two_jump_hosts_names_the_host_that_gets_it() -> None:
    refused = ChannelOpenError(OPEN_CONNECT_FAILED, "Connection refused")
    error = of_target(refused, "web1", "bastion", "192.0.2.2:22")
    shared = ConnectError.of(error, host=HOP.name)  # as `turn_at` raises it for the next host
    assert str(of_hop(shared, "web2", HOP)).startswith("web2: the jump host bastion could not connect to 192.0.2.2:22")
    assert of_hop(error, "web1", HOP) is error


def test_a_stop_request_ends_the_waiting() -> None:
    stop = threading.Event()
    stop.set()
    with gate.turn_at(HOP, threading.Event()), pytest.raises(StopRequested):
        wait_at(HOP, stop)


def test_other_jump_hosts_and_users_have_their_own_places() -> None:
    with gate.turn_at(HOP, threading.Event()):
        wait_at(SshServer("other", "192.0.2.2", "anna"))
        wait_at(SshServer("bastion", "192.0.2.1", "berta"))
