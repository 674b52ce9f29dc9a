"""`jump`: a host behind one or two real SSH servers, each of which must prove who it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import AuthenticationError, ConnectError, HostKeyError
from nbserver.inventory.linux_host import LinuxHost
from nbserver.inventory.ssh_server import SshServer, of_host
from nbserver.run.envelope import Envelope
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets, StopRequested
from tests.boxes.ssh.fixtures import PASSWORD, WHO, host_of, sshd, state, user, wait_until, who  # noqa: F401
from tests.boxes.ssh.small_script import EVENTS, small_script
from tests.boxes.ssh.sshd import Sshd, User, make_key
from tests.boxes.ssh.wire import Wire
from tests.ports import free_port

ENVELOPE = ["mode test"]


@pytest.fixture(scope="module")
def bastion(user: User) -> Iterator[Sshd]:
    """A second server, with another host key."""
    with closing(Sshd(user.home / "bastion", user.name, user.authorized)) as server:
        yield server


def hop(server: Sshd, user: User, **settings: Any) -> SshServer:
    return of_host(host_of(server, user, **{"name": "bastion", **settings}))


def behind(host: LinuxHost, *hops: SshServer) -> LinuxHost:
    return host.model_copy(update={"hops": hops})


def said(host: LinuxHost, *secrets: LogonSecrets) -> list[str]:
    logon = LogonSecrets(hops=secrets or tuple(LogonSecrets() for _ in host.hops))
    with closing(connect_to(host, logon, threading.Event())) as transport:
        return list(transport.run(WHO, ENVELOPE))


def refused(host: LinuxHost, kind: type[Exception], *secrets: LogonSecrets) -> str:
    with pytest.raises(kind) as caught:
        said(host, *secrets)
    words = str(caught.value)
    assert words.startswith("linux1: ") and caught.value.todo  # type: ignore[attr-defined]
    assert PASSWORD not in words + repr(caught.value)
    return f"{caught.value.code} {words}"  # type: ignore[attr-defined]


def test_a_script_runs_behind_two_servers(sshd: Sshd, bastion: Sshd, user: User, state: Path) -> None:
    script = small_script("linux1", state)
    host = behind(host_of(sshd, user), hop(bastion, user), hop(sshd, user, name="inner"))
    with closing(connect_to(host, LogonSecrets(hops=(LogonSecrets(),) * 2), threading.Event())) as transport:
        lines = list(transport.run(script.text, Envelope("apply", "run-1").lines()))
    assert [json.loads(line)["n"] for line in lines] == list(range(1, EVENTS + 1))


def test_the_jump_host_resolves_the_name(sshd: Sshd, bastion: Sshd, user: User) -> None:
    """The name of the host is that in the inventory, also for its key."""
    assert said(behind(host_of(sshd, user, address="localhost"), hop(bastion, user))) == who(user.name)


def test_the_password_of_a_jump_host_is_its_own(sshd: Sshd, bastion: Sshd, user: User) -> None:
    host = behind(host_of(sshd, user), hop(bastion, user, key_file=None))
    assert said(host, LogonSecrets(PASSWORD)) == who(user.name)
    assert "jump-logon-failed linux1: could not log in to the jump host bastion: " in refused(host, AuthenticationError, LogonSecrets("no"))


def test_a_jump_host_with_another_key_is_refused(sshd: Sshd, bastion: Sshd, user: User, tmp_path: Path) -> None:
    """And so is a host with another key behind it: nothing is known about either but its key."""
    before = bastion.log.read_text().count("Accepted")
    words = refused(behind(host_of(sshd, user), hop(bastion, user, host_key=sshd.fingerprint())), HostKeyError)
    assert (
        f"jump-host-key linux1: could not verify the host key of the jump host bastion: 127.0.0.1:{bastion.port} presented a host key that does not match host_key"
        in words
    )
    assert bastion.log.read_text().count("Accepted") == before, "nobody was logged in"
    words = refused(behind(host_of(sshd, user, host_key=bastion.fingerprint()), hop(bastion, user)), HostKeyError)
    assert f"host-key-not-pinned linux1: 127.0.0.1:{sshd.port} presented a host key that does not match" in words
    words = refused(behind(host_of(sshd, user), hop(bastion, user, host_key=None, known_hosts=tmp_path / "none")), HostKeyError)
    assert "the jump host bastion: the host key for 127.0.0.1" in words and bastion.fingerprint() in words


def test_a_jump_host_that_is_down(sshd: Sshd, user: User) -> None:
    words = refused(behind(host_of(sshd, user), hop(sshd, user, port=(port := free_port()))), ConnectError)
    assert (
        f"jump-not-reached linux1: could not connect to the jump host bastion: 127.0.0.1:{port} refused the connection. Check that" in words
    )


def test_a_host_that_is_down_behind_a_jump_host(bastion: Sshd, user: User) -> None:
    """The message names the last server that was reached, and where it could not go."""
    words = refused(behind(host_of(bastion, user, port=(port := free_port())), hop(bastion, user)), ConnectError)
    assert f"jump-target-refused linux1: the jump host bastion could not connect to 127.0.0.1:{port}: " in words
    inner = hop(bastion, user, name="inner", port=port)
    words = refused(behind(host_of(bastion, user), hop(bastion, user), inner), ConnectError)
    assert f"jump-target-refused linux1: the jump host bastion could not connect to 127.0.0.1:{port}: " in words


def test_a_jump_host_that_forwards_nothing(sshd: Sshd, user: User, tmp_path: Path) -> None:
    with closing(Sshd(user.home / "closed", user.name, user.authorized, ["AllowTcpForwarding no"])) as closed:
        words = refused(behind(host_of(sshd, user), hop(closed, user)), ConnectError)
    assert f"jump-forwarding-refused linux1: the jump host bastion does not allow connections to 127.0.0.1:{sshd.port}: " in words


def test_the_key_file_of_a_jump_host_is_not_for_the_host(sshd: Sshd, bastion: Sshd, user: User, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    words = refused(behind(host_of(sshd, user), hop(bastion, user, key_file=other)), AuthenticationError)
    assert "could not log in to the jump host bastion" in words and "rejected the key in key_file" in words


def test_a_lost_jump_host_is_a_lost_connection(sshd: Sshd, bastion: Sshd, user: User, state: Path) -> None:
    """The script continues, and the connection that is made again passes the jump host again."""
    (state / "hold").write_text("3")
    script = small_script("linux1", state)
    with closing(Wire(bastion.port)) as wire:
        host = behind(host_of(sshd, user), hop(bastion, user, port=wire.port))
        with closing(connect_to(host, LogonSecrets(hops=(LogonSecrets(),)), threading.Event())) as transport:
            lines = transport.run(script.text, Envelope("apply", "run-1").lines())
            heard = [next(lines) for _ in range(3)]
            wire.reset()
            with pytest.raises(ConnectError, match=r"the connection to .* was lost"):
                list(lines)
        (state / "hold").unlink()
        with closing(connect_to(host, LogonSecrets(hops=(LogonSecrets(),)), threading.Event())) as transport:
            rest = list(transport.run(script.text, Envelope("events", "run-1", after=3).lines()))
    assert [json.loads(line)["n"] for line in [*heard, *rest]] == list(range(1, EVENTS + 1))


def test_stop_while_a_jump_host_is_contacted(sshd: Sshd, user: User) -> None:
    stop = threading.Event()
    stop.set()
    with closing(Wire(sshd.port)) as wire:
        wire.silent.set()
        with pytest.raises(StopRequested):
            connect_to(behind(host_of(sshd, user), hop(sshd, user, port=wire.port)), LogonSecrets(hops=(LogonSecrets(),)), stop)


def test_many_hosts_do_not_log_on_to_a_jump_host_at_once(user: User) -> None:
    """sshd drops what is too much for it before the logon."""
    busy = Sshd(user.home / "busy", user.name, user.authorized, ["MaxStartups 10"])
    with closing(busy), closing(Sshd(user.home / "ready", user.name, user.authorized, ["MaxStartups 100"])) as ready:
        host = behind(host_of(ready, user, connect_timeout=120), hop(busy, user, connect_timeout=120))
        with ThreadPoolExecutor(24) as pool:
            assert list(pool.map(lambda _: said(host), range(24))) == [who(user.name)] * 24
