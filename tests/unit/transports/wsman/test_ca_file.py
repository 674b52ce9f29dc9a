"""The file of ca_file is read once, with the inventory: what the approved target names is what the connection trusts."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from pathlib import Path

import pytest

from nbserver.approval import target
from nbserver.base.errors import InventoryError, NbserverError
from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHost
from nbserver.run import time_limits
from nbserver.run.options import Options
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets
from tests.boxes.winrm.certificate import Certificate, make_certificate
from tests.tls_server import server

ANSWER = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificate, Certificate]:
    return make_certificate(tmp_path_factory.mktemp("one")), make_certificate(tmp_path_factory.mktemp("other"))


def host(folder: Path, authorities: bytes, port: int = 5986, transport: str = "psrp") -> WindowsHost:
    (folder / "ca.pem").write_bytes(authorities)
    (folder / "nbserver.toml").write_text(
        f'[hosts.win1]\nsystem = "windows"\naddress = "127.0.0.1"\nport = {port}\ntransport = "{transport}"\nauth = "basic"\n'
        'user = "bob"\npassword = { env = "X" }\nnotebook.password = { env = "X" }\nca_file = "ca.pem"\n'
    )
    found = reader.load(folder / "nbserver.toml").hosts["win1"]
    assert isinstance(found, WindowsHost)
    return found


def code(of: WindowsHost) -> str:
    with pytest.raises(NbserverError) as caught:
        connect_to(of, LogonSecrets(password="correct horse"), threading.Event())
    return caught.value.code


@pytest.mark.parametrize("transport", ["psrp", "winrm"])
def test_a_file_that_was_swapped_later_is_not_trusted(
    certificates: tuple[Certificate, Certificate], tmp_path: Path, transport: str
) -> None:
    approved, swapped = certificates
    data = "# Főtanúsítvány\n".encode() + approved.certificate.read_bytes()
    with server(approved, lambda head: ANSWER) as (port, heads):
        found = host(tmp_path, data, port, transport)
        (tmp_path / "ca.pem").write_bytes(swapped.certificate.read_bytes())
        travelled = pickle.loads(pickle.dumps(time_limits.with_limits(found, Options(connect_timeout=20))))
        assert target.of(found)["ca_sha256"] == hashlib.sha256(data).hexdigest()
        assert "winrm-certificate-untrusted" not in (code(found), code(travelled))
        assert len([head for head in heads if head.startswith("POST /wsman ")]) >= 2, "each has sent its request"
    with server(swapped, lambda head: ANSWER) as (port, heads):
        found = host(tmp_path, data, port, transport)
        (tmp_path / "ca.pem").write_bytes(swapped.certificate.read_bytes())
        assert code(found) == "winrm-certificate-untrusted" and not any(heads)


@pytest.mark.parametrize("transport", ["psrp", "winrm"])
@pytest.mark.parametrize("data", [b"", b"no certificate\n", b"\xff"])
def test_a_file_without_a_certificate_trusts_nobody(tmp_path: Path, data: bytes, transport: str) -> None:
    assert code(host(tmp_path, data, transport=transport)) == "ca-file-not-pem"


@pytest.mark.skipif(os.name == "nt", reason="this needs POSIX")
def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    host(tmp_path, b"x")
    (tmp_path / "ca.pem").chmod(0o666)
    with pytest.raises(InventoryError, match=r"ca\.pem: every user can write to this file or its folder") as raised:
        host(tmp_path, b"x")
    assert raised.value.exit_code == 2
