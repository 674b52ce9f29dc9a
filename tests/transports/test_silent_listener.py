"""Hosts that never answer: an address without a listener's answer, and a listener that accepts a connection and then says nothing."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nbserver.base.errors import ConnectError, HostError
from nbserver.base.message import detail
from nbserver.inventory.linux_host import LinuxHost
from nbserver.inventory.windows_host import WindowsHost
from nbserver.run import error_kind
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets, StopRequested
from tests.silent_address import silent_address

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a silent address needs Linux, which drops what does not fit into a queue")

SECONDS = 20.0  # far more than the limits below, and less than those that nbserver has by default


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a listener that the system lets clients connect to, and that nobody serves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def host_of(kind: str, address: str, port: int, **settings: Any) -> Any:
    least = {"name": "host1", "address": address, "port": port, "user": "a", "password": {"env": "UNUSED"}, "connect_timeout": 1}
    least |= {"notebook": {"password": {"env": "UNUSED"}}, **settings}
    if kind == "ssh":
        return LinuxHost.model_validate({**least, "system": "linux", "agent": False, "host_key": "SHA256:" + "A" * 43})
    transport, _, scheme = kind.partition(" ")
    auth = {"auth": "ntlm"} if scheme == "ntlm" else {"auth": "basic"} if scheme == "basic" else {"auth": "ntlm", "tls": False}
    return WindowsHost.model_validate({**least, "system": "windows", "transport": transport, **auth})


KINDS = ["ssh", "psrp ntlm", "psrp basic", "psrp http", "winrm ntlm", "winrm http"]


def failure(host: Any) -> HostError:
    begun = time.monotonic()
    with pytest.raises(HostError) as caught:
        list(connect_to(host, LogonSecrets("Canary-Logon"), threading.Event()).run("", []))
    assert time.monotonic() - begun < SECONDS
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_that_says_nothing(monkeypatch: pytest.MonkeyPatch, kind: str, port: int) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    error = failure(host_of(kind, "127.0.0.1", port))
    assert isinstance(error, ConnectError) and "did not answer" in str(error), error
    assert error_kind.of_error(detail(error)) == "timeout"


@pytest.mark.parametrize("kind", ["ssh", "psrp ntlm", "winrm ntlm"])
def test_an_address_that_says_nothing(monkeypatch: pytest.MonkeyPatch, kind: str, port: int) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    with silent_address(port) as silent:
        error = failure(host_of(kind, silent, port))
    assert isinstance(error, ConnectError) and error_kind.of_error(detail(error)) == "timeout", error


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_limit_of_the_run_ends_the_attempt(kind: str, port: int) -> None:
    from nbserver.run.host_stop import HostStop

    stop = HostStop("host1", threading.Event(), 0.3)
    with pytest.raises(StopRequested):
        connect_to(host_of(kind, "127.0.0.1", port, connect_timeout=600), LogonSecrets("Canary-Logon"), stop)
    assert stop.exceeded and stop.exceeded.code == "host-too-slow"
