"""TLS that is asked of a port without it, and a port with TLS that is asked without: both are recognized and named."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ConnectError
from nbserver.inventory import reader
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets
from tests.boxes.winrm.certificate import Certificate, make_certificate
from tests.tls_server import server

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def plain(answer: bytes) -> Iterator[int]:
    """A port that answers everything with the same bytes, and closes the connection. http.sys answers 400 to what is not HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client = listener.accept()[0]
                    with client, contextlib.suppress(OSError):
                        if client.recv(4096) and answer:
                            client.sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def refused(folder: Path, port: int, transport: str, tls: str, **more: Any) -> ConnectError:
    settings = "".join(f"{name} = {value}\n" for name, value in more.items())
    (folder / "nbserver.toml").write_text(
        f'[hosts.win1]\nsystem = "windows"\naddress = "127.0.0.1"\nport = {port}\ntls = {tls}\ntransport = "{transport}"\n'
        f'auth = "ntlm"\nuser = "bob"\npassword = {{ env = "X" }}\nnotebook.password = {{ env = "X" }}\n{settings}'
    )
    host = reader.load(folder / "nbserver.toml").hosts["win1"]
    with pytest.raises(ConnectError) as caught:
        connect_to(host, LogonSecrets(password="correct horse"), threading.Event())
    return caught.value


@pytest.mark.parametrize("transport", ["psrp", "winrm"])
def test_a_port_with_tls_that_is_asked_without(tmp_path: Path, certificate: Certificate, transport: str) -> None:
    with server(certificate, lambda head: BAD_REQUEST) as (port, _):
        error = refused(tmp_path, port, transport, "false")
    assert (
        str(error)
        == f"win1: 127.0.0.1:{port} uses TLS, but the inventory has tls = false. In the inventory, set tls = true, or correct port"
    )


@pytest.mark.parametrize("transport", ["psrp", "winrm"])
@pytest.mark.parametrize("answer", [BAD_REQUEST, b""], ids=["400", "closed"])
def test_a_port_without_tls_that_is_asked_for_it(tmp_path: Path, transport: str, answer: bytes) -> None:
    """`closed` is a server that says nothing to what is not HTTP: nothing can be said about it."""
    with plain(answer) as port:
        error = refused(tmp_path, port, transport, "true", fingerprint=f'"SHA256:{"00" * 32}"')
    if answer:
        assert f"127.0.0.1:{port} responds without TLS, but the inventory has tls = true" in str(error)
        assert "set port to the TLS listener's port (5986 by default), or set tls = false" in str(error)
    else:
        assert error.code in ("winrm-no-tls", "connection-lost")


def test_another_fault_of_a_port_without_tls_is_not_mistaken(tmp_path: Path) -> None:
    with plain(b"") as port:
        assert refused(tmp_path, port, "psrp", "false").code == "connection-lost"
