"""A host that logs the user on, and then never opens a session, as with a home folder on a server that is down."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import asyncssh
import pytest

from nbserver.inventory.linux_host import LinuxHost
from nbserver.transports.ssh.transport import SshTransport
from nbserver.transports.transport import LogonSecrets, StopRequested

KEY = asyncssh.generate_private_key("ssh-ed25519")


class Hanging(asyncssh.SSHServer):
    asked = threading.Event()

    def begin_auth(self, username: str) -> bool:
        return False  # nobody has to log on

    async def session_requested(self) -> bool:  # type: ignore[override]
        self.asked.set()
        await asyncio.sleep(600)
        return False


@pytest.fixture
def port() -> Iterator[int]:
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncssh.create_server(Hanging, "127.0.0.1", 0, server_host_keys=[KEY]))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()[1]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_ctrl_c_does_not_wait_for_a_session(port: int) -> None:
    least = {"name": "lin1", "system": "linux", "address": "127.0.0.1", "user": "root", "notebook": {"password": {"env": "N"}}}
    host = LinuxHost.model_validate({**least, "port": port, "host_key": KEY.get_fingerprint(), "connect_timeout": 60})
    stop = threading.Event()
    transport = SshTransport(host, LogonSecrets(), stop)
    threading.Thread(target=lambda: Hanging.asked.wait(60) and stop.set()).start()
    begun = time.monotonic()
    with pytest.raises(StopRequested):
        list(transport.run("echo", []))
    assert Hanging.asked.is_set() and time.monotonic() - begun < 30
    transport.close()
