"""The account and the servers of the tests of the SSH transport."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.inventory.linux_host import LinuxHost
from nbserver.transports.connect import connect_to
from nbserver.transports.ssh.transport import SshTransport
from nbserver.transports.transport import LogonSecrets
from tests.boxes.ssh.sshd import Sshd, User, missing
from tests.boxes.ssh.wire import Wire
from tests.waiting import wait_until  # noqa: F401

ENVELOPE = ["mode test"]
WHO = 'while read -r _; do :; done; printf \'{"user": "%s"}\\n\' "$(id -un)"; exit 2\n'
PASSWORD = "Canary-Logon-Tr0ub4dor"


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    if missing():
        pytest.skip(missing())
    made = User(f"nbt{secrets.token_hex(4)}", PASSWORD)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def sshd(user: User) -> Iterator[Sshd]:
    server = Sshd(user.home / "sshd", user.name, user.authorized)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def wire(sshd: Sshd) -> Iterator[Wire]:
    made = Wire(sshd.port)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def state(user: User, tmp_path: Path) -> Path:
    """A folder that the account and root may write to."""
    folder = user.home / "state" / tmp_path.name
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    return folder


def host_of(server: Sshd, user: User, **settings: Any) -> LinuxHost:
    """A host that the key opens and whose host key is pinned; `settings` say what is different."""
    return linux_host(**{"port": server.port, "user": user.name, "key_file": user.key, "host_key": server.fingerprint(), **settings})


def linux_host(**settings: Any) -> LinuxHost:
    """The settings of a host on 127.0.0.1; without agent and sudo where `settings` do not say. They are not checked: times may be short."""
    least = {"name": "linux1", "system": "linux", "address": "127.0.0.1", "user": "root", "notebook": {"password": {"env": "UNUSED"}}}
    return LinuxHost.model_validate(least).model_copy(update={"agent": False, "sudo": False, **settings})


@contextlib.contextmanager
def connected(host: LinuxHost, stop: threading.Event | None = None, **logon: str | None) -> Iterator[SshTransport]:
    transport = connect_to(host, LogonSecrets(**logon), stop or threading.Event())
    assert isinstance(transport, SshTransport)
    try:
        yield transport
    finally:
        transport.close()


def text_of(path: Path) -> str:
    """What is in a file, or nothing where it is gone meanwhile."""
    try:
        return path.read_text("ascii")
    except OSError:
        return ""


def said(host: LinuxHost, **secrets: str | None) -> list[str]:
    with connected(host, **secrets) as transport:
        return list(transport.run(WHO, ENVELOPE))


def who(name: str) -> list[str]:
    return [f'{{"user": "{name}"}}']


def refused(host: LinuxHost, kind: type[Exception], **secrets: str | None) -> str:
    """What a person reads; it holds no secret, and says what to do."""
    with pytest.raises(kind) as caught, connected(host, **secrets) as transport:
        list(transport.run(WHO, ENVELOPE))
    words = str(caught.value)
    assert words.startswith("linux1: ") and caught.value.todo  # type: ignore[attr-defined]
    assert not any(secret and secret in words + repr(caught.value) for secret in secrets.values())
    return words
