"""A Windows host whose name has two addresses, of which the first one is silent. For SSH, the test is in test_ssh.py."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

import pytest

from nbserver.base.errors import HostError
from nbserver.inventory.windows_host import WindowsHost
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets
from tests.silent_address import name_with, silent_address

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a silent address needs Linux, which drops what does not fit into a queue")


@pytest.mark.parametrize("transport", ["psrp", "winrm"])
def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch, transport: str) -> None:
    module = {"psrp": "psrp.transport", "winrm": "winrm.connection"}[transport]
    monkeypatch.setattr(f"nbserver.transports.{module}.CONNECTION_TIMEOUT", 0.3)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()
                    reached.set()

        threading.Thread(target=hang_up, daemon=True).start()
        least = {"name": "win1", "system": "windows", "address": "two.example", "user": "a", "password": {"env": "UNUSED"}}
        least |= {"notebook": {"password": {"env": "UNUSED"}}}
        host = WindowsHost.model_validate({**least, "transport": transport, "port": port, "auth": "ntlm"})
        with silent_address(port) as silent, name_with("two.example", silent, "127.0.0.1"), pytest.raises(HostError) as caught:
            list(connect_to(host, LogonSecrets("Canary-Logon"), threading.Event()).run("", []))
        listener.shutdown(socket.SHUT_RDWR)
    assert reached.is_set(), caught.value
    assert "did not answer" not in str(caught.value)
