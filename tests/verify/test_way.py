"""A notebook server behind a jump host: the same checks through a real SSH server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from nbserver.base.errors import CertificateError, ConnectError
from nbserver.inventory.linux_host import LinuxHost
from nbserver.inventory.ssh_server import of_host
from nbserver.transports.transport import LogonSecrets
from nbserver.verify.checks import STEPS, Verification, verify
from nbserver.verify.way import hops_to_notebook, way_to_notebook
from tests.boxes.ssh.fixtures import host_of, linux_host, sshd, user  # noqa: F401
from tests.boxes.ssh.sshd import Sshd, User
from tests.boxes.ssh.wire import Wire
from tests.notebook_fixtures import needs_notebook, no_proxies, server  # noqa: F401
from tests.notebook_server import PASSWORD, NotebookServer
from tests.ports import free_port

LOGON = (LogonSecrets(),)


@pytest.fixture
def wire(sshd: Sshd) -> Iterator[Wire]:
    """The way to the jump host, which counts what passes."""
    with closing(Wire(sshd.port)) as made:
        yield made


def behind(sshd: Sshd, user: User, wire: Wire, port: int, **notebook: Any) -> LinuxHost:
    host = linux_host(address="localhost", hops=(of_host(host_of(sshd, user, name="bastion", port=wire.port)),))
    return host.model_copy(update={"notebook": host.notebook.model_copy(update={"port": port, **notebook})})


def verified(host: LinuxHost, fingerprint: str | None) -> Verification:
    with way_to_notebook(host, LOGON) as dial:
        return verify(host, password=PASSWORD, fingerprint=fingerprint, png_directory=None, dial=dial)


@needs_notebook
def test_everything_goes_through_the_jump_host(sshd: Sshd, user: User, wire: Wire, server: NotebookServer) -> None:
    found = verified(behind(sshd, user, wire, server.port), server.certificate.fingerprint)
    assert (found.url, tuple(found.seconds)) == (f"https://localhost:{server.port}", STEPS)
    assert wire.passed["down"] > 20_000, "the picture came this way"


@needs_notebook
def test_the_certificate_is_checked_through_it(sshd: Sshd, user: User, wire: Wire, server: NotebookServer) -> None:
    host = behind(sshd, user, wire, server.port)
    with pytest.raises(CertificateError, match="a different certificate") as caught:
        verified(host, "SHA256:" + "0" * 64)
    assert caught.value.where == "linux1: verify: certificate"
    with pytest.raises(CertificateError, match="does not trust the notebook server's certificate"):
        verified(host, None)


def test_no_server_behind_the_jump_host(sshd: Sshd, user: User, wire: Wire) -> None:
    with pytest.raises(ConnectError) as caught:
        verified(behind(sshd, user, wire, port := free_port()), None)
    assert f"linux1: verify: certificate: the jump host bastion could not connect to localhost:{port}: " in str(caught.value)


def test_a_public_url_is_reached_directly(sshd: Sshd, user: User, wire: Wire) -> None:
    host = behind(sshd, user, wire, 9999, public_url="https://notebooks.example.com")
    assert not hops_to_notebook(host)
    with way_to_notebook(host, ()) as dial:
        assert dial is None
