"""`jump` to a Windows host: PSRP and WinRM through a real SSH server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import AuthenticationError, CertificateError, ConnectError, HostError, HostKeyError
from nbserver.inventory.ssh_server import of_host
from nbserver.inventory.windows_host import WindowsHost
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets
from tests.boxes.ssh.fixtures import host_of, sshd, user  # noqa: F401
from tests.boxes.ssh.sshd import Sshd, User
from tests.boxes.ssh.wire import Wire
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.certificate import make_certificate
from tests.boxes.winrm.endpoint import Endpoint
from tests.ports import free_port

PASSWORD = "Canary-Windows-Tr0ub4dor"
SCRIPT = "'{\"line\": 1}'\n"


@pytest.fixture(scope="module")
def endpoint(windows_host: WindowsBox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The certificate has the name of the host, and not 127.0.0.1."""
    certificate = make_certificate(tmp_path_factory.mktemp("listener"), ["localhost"])
    with windows_host.endpoint(auth=["basic", "negotiate"], certificate=certificate, password=PASSWORD) as service:
        yield service


@pytest.fixture(scope="module")
def plain(windows_host: WindowsBox) -> Iterator[Endpoint]:
    with windows_host.endpoint(auth=["negotiate"], require_encryption=True, password=PASSWORD) as service:
        yield service


class Way:
    """Windows hosts behind a bastion, and what is said there."""

    def __init__(self, sshd: Sshd, user: User) -> None:
        self._sshd, self._user = sshd, user

    def host(self, endpoint: Endpoint, *, hop: dict[str, Any] | None = None, **settings: Any) -> WindowsHost:
        least = {"name": "win1", "system": "windows", "address": "localhost", "user": "vagrant", "auth": "negotiate"}
        least |= {"password": {"env": "UNUSED"}, "notebook": {"password": {"env": "UNUSED"}}, "port": endpoint.port}
        bastion = of_host(host_of(self._sshd, self._user, **{"name": "bastion", **(hop or {})}))
        return WindowsHost.model_validate({**least, **settings}).model_copy(update={"hops": (bastion,)})

    def said(self, host: WindowsHost, password: str = PASSWORD) -> list[str]:
        with closing(connect_to(host, LogonSecrets(password, hops=(LogonSecrets(),)), threading.Event())) as transport:
            assert not listeners(), "nobody else can connect"
            return list(transport.run(SCRIPT, ["mode test"]))

    def refused(self, host: WindowsHost, kind: type[HostError], password: str = PASSWORD) -> str:
        with pytest.raises(kind) as caught:
            self.said(host, password)
        return f"{caught.value.code} {caught.value}"


def listeners() -> list[tuple[str, int]]:
    """Where this process listens (IPv4), apart from the fixtures, which began before the test."""
    sockets = {path.readlink().name for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    found = [row[1].split(":") for row in rows if row[3] == LISTEN and f"socket:[{row[9]}]" in sockets]
    places = [(".".join(str(byte) for byte in reversed(bytes.fromhex(address))), int(port, 16)) for address, port in found]
    return [place for place in places if place[1] not in BEFORE]


LISTEN = "0A"
BEFORE: set[int] = set()


@pytest.fixture
def way(sshd: Sshd, user: User, endpoint: Endpoint, plain: Endpoint) -> Way:
    BEFORE.clear()
    BEFORE.update(port for _, port in listeners())
    return Way(sshd, user)


@pytest.mark.parametrize("transport", ["psrp", "winrm"])
def test_a_script_runs_and_the_certificate_is_that_of_the_host(way: Way, endpoint: Endpoint, transport: str) -> None:
    assert endpoint.certificate
    pinned = {"transport": transport, "fingerprint": endpoint.certificate.fingerprint}
    assert way.said(way.host(endpoint, **pinned)) == ['{"line": 1}']
    assert not listeners()
    named = {"transport": transport, "ca_file": Path(endpoint.certificate.certificate)}
    assert way.said(way.host(endpoint, **named)) == ['{"line": 1}']
    words = way.refused(way.host(endpoint, address="127.0.0.1", **named), CertificateError)
    assert f"winrm-certificate-untrusted win1: the certificate of 127.0.0.1:{endpoint.port} is not trusted: " in words, "the name counts"
    words = way.refused(way.host(endpoint, **{**pinned, "fingerprint": "SHA256:" + "ab" * 32}), CertificateError)
    assert words.startswith("other-certificate win1: ")
    assert "winrm-certificate-untrusted" in way.refused(way.host(endpoint, transport=transport), CertificateError)


@pytest.mark.parametrize("transport", ["psrp", "winrm"])
def test_messages_are_encrypted_without_tls(way: Way, plain: Endpoint, transport: str) -> None:
    assert way.said(way.host(plain, transport=transport, tls=False)) == ['{"line": 1}']
    assert plain.stats["refused plain"] == 0
    assert way.refused(way.host(plain, transport=transport, tls=False), AuthenticationError, "wrong")


def test_a_wrong_way(way: Way, endpoint: Endpoint, plain: Endpoint) -> None:
    words = way.refused(way.host(endpoint, hop={"host_key": f"SHA256:{'A' * 43}"}), HostKeyError)
    assert "jump-host-key win1: could not verify the host key of the jump host bastion: 127.0.0.1:" in words
    assert "jump-not-reached win1: " in way.refused(way.host(endpoint, hop={"port": free_port()}), ConnectError)
    words = way.refused(way.host(endpoint, port=(port := free_port())), ConnectError)
    assert f"jump-target-refused win1: the jump host bastion could not connect to localhost:{port}: " in words
    assert way.refused(way.host(plain), ConnectError).startswith("tls-not-offered win1: ")
    assert way.refused(way.host(endpoint, tls=False), ConnectError).startswith("tls-needed win1: ")


@pytest.mark.parametrize("transport", ["psrp", "winrm"])
def test_a_lost_jump_host(way: Way, endpoint: Endpoint, sshd: Sshd, transport: str) -> None:
    """It is named, at once."""
    assert endpoint.certificate
    held = "'1'\nwhile (-not (Test-Path -LiteralPath $env:TEMP\\nbserver-go)) { Start-Sleep -Milliseconds 50 }\n"
    with closing(Wire(sshd.port)) as wire:
        host = way.host(endpoint, hop={"port": wire.port}, transport=transport, fingerprint=endpoint.certificate.fingerprint)
        with closing(connect_to(host, LogonSecrets(PASSWORD, hops=(LogonSecrets(),)), threading.Event())) as lost:
            lines = lost.run(held, ["mode test"])
            assert next(lines) == "1"
            wire.reset()
            with pytest.raises(ConnectError) as caught:
                list(lines)
        assert (caught.value.code, "jump host bastion" in str(caught.value)) == ("jump-lost", True)
