"""A kernel of a real notebook server over its WebSocket: what cells print and show, how they fail, what is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from nbserver.base import pinned_tls
from nbserver.base.allowance import Allowance
from nbserver.base.errors import VerifyError
from nbserver.verify.kernel_channel import KernelChannel
from nbserver.verify.notebook_client import NotebookClient
from tests.notebook_fixtures import certificate, needs_notebook, no_proxies, server  # noqa: F401
from tests.notebook_server import Certificate, NotebookServer, kernels, logged_in, web_server


@needs_notebook
@pytest.mark.parametrize(
    ("cell", "seconds", "reason"),
    [
        ("1 / 0", 60.0, "the test cell failed with ZeroDivisionError: division by zero\n"),
        ("import time; time.sleep(600)", 2.0, "the test cell did not finish within 2 s"),
        ("import os; os._exit(1)", 60.0, "the kernel died while running the test cell"),
    ],
)
def test_a_cell_that_fails(server: NotebookServer, cell: str, seconds: float, reason: str) -> None:
    with logged_in(server) as client:
        kernel, _ = client.start_kernel(seconds=60)
        try:
            with _channel(client, kernel, client.address.origin) as channel, pytest.raises(VerifyError) as failed:
                channel.run("print('warm')", seconds=60)
                channel.run(cell, seconds=seconds)
        finally:
            client.stop_kernel(kernel)
    assert str(failed.value).startswith(f"box: {reason}")
    assert kernels(server) == []


@needs_notebook
def test_what_a_cell_prints_and_shows(server: NotebookServer) -> None:
    with logged_in(server) as client:
        kernel, _ = client.start_kernel(seconds=60)
        try:
            with _channel(client, kernel, client.address.origin) as channel:
                first = channel.run("import sys; print('out'); print('err', file=sys.stderr)", seconds=60)
                second = channel.run("from IPython.display import Image; Image(b'any bytes', format='png')", seconds=60)
        finally:
            client.stop_kernel(kernel)
    assert (first.stdout, first.pictures) == ("out\n", [])
    assert (second.stdout, second.pictures) == ("", [b"any bytes"])


@needs_notebook
def test_a_foreign_origin_is_refused(server: NotebookServer) -> None:
    with logged_in(server) as client:
        kernel, _ = client.start_kernel(seconds=60)
        try:
            with pytest.raises(VerifyError, match=r"rejected the WebSocket connection to the kernel \(HTTP status 403\)"):
                _channel(client, kernel, "https://evil.example.com")
        finally:
            client.stop_kernel(kernel)


def test_a_kernel_may_take_longer_than_a_page(certificate: Certificate) -> None:
    """The server answers the WebSocket when the kernel is ready."""

    class Slow(dict[str, tuple[int, dict[str, str]]]):
        def get(self, path: str, default: Any = None) -> Any:
            time.sleep(1.5)
            return 403, {}

    with web_server(certificate, Slow()) as port:
        allowance = Allowance(60)
        allowance.exchange(0.5)
        tls = pinned_tls.connect("localhost", port, fingerprint=certificate.fingerprint, timeout=30, allowance=allowance)
        with pytest.raises(VerifyError, match=r"rejected the WebSocket connection to the kernel \(HTTP status 403\)"):
            KernelChannel(
                tls,
                url=f"wss://localhost:{port}/api/kernels/1/channels",
                origin=f"https://localhost:{port}",
                cookie="",
                host="box",
                seconds=60,
                allowance=allowance,
            )


def _channel(client: NotebookClient, kernel: str, origin: str) -> KernelChannel:
    address = client.address
    path = f"/api/kernels/{kernel}/channels"
    pinned = client._session.adapters["https://"]
    assert isinstance(pinned, pinned_tls.PinnedAdapter)
    allowance = Allowance(600)
    tls = pinned_tls.connect(address.host, address.port, fingerprint=pinned.fingerprint, timeout=30, allowance=allowance)
    url = f"wss://{address.netloc}{path}"
    return KernelChannel(tls, url=url, origin=origin, cookie=client.cookies_for(path), host="box", seconds=60, allowance=allowance)
