"""The connection of asyncssh to a host: logon, host key, time-outs; and a synchronous face for its event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncssh

from nbserver.base.errors import AuthenticationError, SecretError
from nbserver.transports.ssh.errors import explain
from nbserver.transports.ssh.host_keys import HostKeys
from nbserver.transports.ssh.keys import load_key
from nbserver.transports.ssh.logon import Logon
from nbserver.transports.transport import LogonSecrets, StopRequested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbserver.inventory.linux_host import LinuxHost

T = TypeVar("T")

POLL = 0.25  # seconds after which a stop is heard
KEEPALIVES = 3  # unanswered ones, then the connection is dead
CLOSING = 2.0  # seconds

logging.getLogger("asyncssh").addHandler(logging.NullHandler())


class Connection:
    """A connection and the event loop that drives it while somebody waits. Raises HostError and StopRequested."""

    def __init__(self, host: LinuxHost, secrets: LogonSecrets, stop: threading.Event) -> None:
        self._host = host
        keys = _keys(host, secrets)
        host_keys = HostKeys(host)
        self._loop = asyncio.new_event_loop()
        # What fails in the background is told by what waits for it.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._connection: asyncssh.SSHClientConnection | None = None
        try:
            self._connection = self._open(keys, secrets, host_keys, stop)
        except BaseException:
            self.close()
            raise

    def _open(
        self, keys: Sequence[asyncssh.SSHKeyPair], secrets: LogonSecrets, host_keys: HostKeys, stop: threading.Event
    ) -> asyncssh.SSHClientConnection:
        *others, last = host_keys.choices()
        for choice in (*others, last):
            logon = Logon(keys, self._host.agent, secrets.password, host_keys)
            try:
                return self._wait_unless(stop, self._connect(logon, choice))
            except StopRequested:
                raise
            except Exception as error:  # whatever a library makes of what the host sends
                if choice is last or not host_keys.another_kind_may_do(error):
                    raise explain(error, self._host, logon) from error
        raise AssertionError("the last attempt returns or raises")

    async def _connect(self, logon: Logon, host_key_options: dict[str, Any]) -> asyncssh.SSHClientConnection:
        """Every option that could come from a file of the user (config, default keys, certificates of authorities) is given."""
        host = self._host
        return await asyncio.wait_for(
            asyncssh.connect(
                host.address,
                port=host.port,
                username=host.user,
                client_factory=lambda: logon,
                config=None,
                tunnel=None,
                proxy_command=None,
                client_keys=None,
                agent_path=None,
                agent_forwarding=False,
                x11_forwarding=False,
                pkcs11_provider=None,
                host_based_auth=False,
                gss_host=None,
                gss_kex=False,
                gss_auth=False,
                preferred_auth="publickey,password,keyboard-interactive",
                compression_algs=["none"],  # what is unpacked has no limit
                keepalive_interval=host.keepalive,
                keepalive_count_max=KEEPALIVES,
                **host_key_options,
            ),
            host.connect_timeout,
        )

    def _wait_unless(self, stop: threading.Event, work: Coroutine[Any, Any, T]) -> T:
        task = self._loop.create_task(work)
        while not task.done():
            self.turn({task})
            if stop.is_set() and not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    self._loop.run_until_complete(task)
                raise StopRequested
        return self._result(task.result)

    def turn(self, tasks: set[asyncio.Task[Any]], seconds: float = POLL) -> None:
        """Lets the connection work until one of the tasks is done, for some seconds at most."""
        self._loop.run_until_complete(asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED))

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that goes on while somebody waits in `turn`."""
        return self._loop.create_task(work)

    def wait(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """The result. Raises what it raises, and TimeoutError."""
        return self._result(lambda: self._loop.run_until_complete(asyncio.wait_for(work, seconds)))

    @staticmethod
    def _result(get: Callable[[], T]) -> T:
        """Nobody here cancels what is waited for: where it was, the connection is gone. The error itself is no Exception."""
        try:
            return get()
        except asyncio.CancelledError:
            raise ConnectionAbortedError("the connection is gone") from None

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        assert self._connection is not None
        return self._connection

    def close(self) -> None:
        """Ends the connection and what waits on it. Never raises."""
        with suppress(Exception):
            if self._connection is not None:
                self._connection.close()
                self.wait(self._connection.wait_closed(), CLOSING)
        with suppress(Exception):
            if self._connection is not None:
                self._connection.abort()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        with suppress(Exception):
            self._loop.close()


def _keys(host: LinuxHost, secrets: LogonSecrets) -> Sequence[asyncssh.SSHKeyPair]:
    if host.key_file is None:
        return []
    try:
        return load_key(host.key_file, secrets.key_password, host=host.name)
    except SecretError as error:
        raise AuthenticationError(error.what, host=host.name, todo=error.todo) from None
