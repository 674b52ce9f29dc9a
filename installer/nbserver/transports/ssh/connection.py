"""An asyncssh connection to a host: logon, host key, and timeouts, with a synchronous interface to its event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import asyncssh

from nbserver.base.errors import AuthenticationError, HostError, SecretError
from nbserver.base.user_name import name_user
from nbserver.transports.ssh.errors import CLOSED, explain
from nbserver.transports.ssh.gate import turn_at
from nbserver.transports.ssh.host_keys import HostKeys
from nbserver.transports.ssh.jump_errors import of_hop, of_target
from nbserver.transports.ssh.keys import load_key
from nbserver.transports.ssh.logon import Logon
from nbserver.transports.transport import LogonSecrets, StopRequested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.ssh_server import SshServer
    from nbserver.transports.ssh.command import RemoteCommand

T = TypeVar("T")

POLL = 0.25  # seconds until a stop request is noticed
KEEPALIVES = 3  # unanswered keepalives after which the connection counts as lost
CLOSING = 2.0  # seconds to close the connection
FASTEST = "aes128-gcm@openssh.com"  # is tried first, before the others of asyncssh: large files take a third of the time

logging.getLogger("asyncssh").addHandler(logging.NullHandler())


class Connection:
    """A connection and its event loop, which runs only while a caller waits. Raises HostError and StopRequested.

    `way` are the servers on the way to the host called `name`: its jump hosts and, if the connection does not end at the last of
    them, the host, which has this name. Each has its secrets.
    """

    def __init__(self, name: str, way: Sequence[tuple[LinuxHost | SshServer, LogonSecrets]], stop: threading.Event) -> None:
        self._name = name
        servers = [server for server, _ in way]
        trusted = [
            self._of_hop(server, partial(_Trusted.of, server, secrets, servers[:number])) for number, (server, secrets) in enumerate(way)
        ]
        self.loop = asyncio.new_event_loop()
        # The task that waits for a background task reports its failure.
        self.loop.set_exception_handler(lambda loop, context: None)
        self._connections: list[asyncssh.SSHClientConnection] = []
        self._last = ""  # the name of the server before
        try:
            for known in trusted:
                self._connections.append(self._of_hop(known.server, partial(self._open_in_turn, known, stop)))
                self._last = known.server.name
        except BaseException:
            self.close()
            raise

    def _of_hop(self, server: LinuxHost | SshServer, get: Callable[[], T]) -> T:
        try:
            return get()
        except HostError as error:
            if self._is_hop(server):
                raise of_hop(error, self._name, server) from error
            raise

    def _is_hop(self, server: LinuxHost | SshServer) -> TypeGuard[SshServer]:
        return server.name != self._name

    def _open_in_turn(self, known: _Trusted, stop: threading.Event) -> asyncssh.SSHClientConnection:
        with turn_at(known.server, stop) if self._is_hop(known.server) else nullcontext():
            return self._open(known, stop)

    def _open(self, known: _Trusted, stop: threading.Event) -> asyncssh.SSHClientConnection:
        server = known.server
        *others, last = known.host_keys.choices()
        for choice in (*others, last):
            logon = Logon(known.keys, server.agent, known.secrets.password, known.host_keys, server.connect_timeout / 2)
            try:
                return self.wait_unless(stop, self._connect(server, logon, choice))
            except StopRequested:
                raise
            except Exception as error:  # a library can raise anything for invalid data from the host
                if isinstance(error, asyncssh.ChannelOpenError) and self._last and error.reason != CLOSED:
                    raise of_target(error, self._name, self._last, f"{server.address}:{server.port}") from error
                if choice is last or logon.tried or not known.host_keys.another_kind_may_do(error):
                    raise explain(error, server, logon) from error
        raise AssertionError("the last attempt returns or raises")

    async def _connect(self, server: LinuxHost | SshServer, logon: Logon, host_key_options: dict[str, Any]) -> asyncssh.SSHClientConnection:
        """Connect to the first address of the host that answers. Once a key or password was offered, no other address is tried.

        Behind a jump host, it is the jump host that resolves the name.
        """
        if self._connections:
            return await self._connect_to(server, server.address, logon, host_key_options)
        failures: list[OSError] = []
        for address in await _addresses(server.address, server.port, server.connect_timeout):
            try:
                return await self._connect_to(server, address, logon, host_key_options)
            except OSError as error:  # also TimeoutError
                if logon.tried:
                    raise
                failures.append(error)
        raise max(failures, key=_weight)

    async def _connect_to(
        self, server: LinuxHost | SshServer, address: str, logon: Logon, host_key_options: dict[str, Any]
    ) -> asyncssh.SSHClientConnection:
        """Connect. Every option that could come from the user's files (config, default keys, CA certificates) is set explicitly."""
        name_user()  # asyncssh requires the name, but sends it to no host
        return await asyncio.wait_for(
            asyncssh.connect(
                address,
                port=server.port,
                host_key_alias=server.address.lower(),  # what the principals of a host certificate are compared with
                username=server.user,
                client_factory=lambda: logon,
                config=None,
                tunnel=self._connections[-1] if self._connections else None,
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
                encryption_algs=f"^{FASTEST}",
                compression_algs=["none"],  # decompressed data has no size limit
                keepalive_interval=server.keepalive,
                keepalive_count_max=KEEPALIVES,
                **host_key_options,
            ),
            server.connect_timeout,
        )

    def wait_unless(self, stop: threading.Event, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of a coroutine. Raises its exceptions, and StopRequested as soon as `stop` is set."""
        task = self.loop.create_task(work)
        while not task.done():
            self.turn({task})
            if stop.is_set() and not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    self.loop.run_until_complete(task)
                raise StopRequested
        return self._result(task.result)

    def turn(self, tasks: set[asyncio.Task[Any]], seconds: float = POLL) -> None:
        """Run the event loop until one of the tasks is done, for at most `seconds`."""
        self.loop.run_until_complete(asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED))

    def turn_until_news(self, command: RemoteCommand) -> None:
        """Run the event loop until the command has output or ends, for at most `POLL` seconds."""
        task = self.start(command.news())
        self.turn({task})
        task.cancel()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return a task that runs during `turn`."""
        return self.loop.create_task(work)

    def wait(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Return the result of a coroutine. Raises its exceptions, and TimeoutError."""
        return self._result(lambda: self.loop.run_until_complete(asyncio.wait_for(work, seconds)))

    @staticmethod
    def _result(get: Callable[[], T]) -> T:
        """Return the result of `get`. Turns CancelledError, which is not an Exception, into a lost connection: nothing else cancels."""
        try:
            return get()
        except asyncio.CancelledError:
            raise ConnectionAbortedError("the connection was lost") from None

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        """The connection to the host, or to the last jump host."""
        return self._connections[-1]

    def close(self) -> None:
        """Close the connections, the one to the host first, and cancel their tasks. Never raises."""
        for connection in reversed(self._connections):
            with suppress(Exception):
                connection.close()
                self.wait(connection.wait_closed(), CLOSING)
        with suppress(Exception):
            for connection in reversed(self._connections):
                connection.abort()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        with suppress(Exception):
            self.loop.close()


@dataclass(frozen=True)
class _Trusted:
    """What is read on the workstation before a server is contacted."""

    server: LinuxHost | SshServer
    secrets: LogonSecrets
    keys: Sequence[asyncssh.SSHKeyPair]
    host_keys: HostKeys

    @classmethod
    def of(cls, server: LinuxHost | SshServer, secrets: LogonSecrets, hops: Sequence[LinuxHost | SshServer]) -> _Trusted:
        return cls(server, secrets, _keys(server, secrets), HostKeys(server, hops))


def _keys(host: LinuxHost | SshServer, secrets: LogonSecrets) -> Sequence[asyncssh.SSHKeyPair]:
    if host.key_file is None:
        return []
    try:
        return load_key(host.key_file, secrets.key_password, host=host.name)
    except SecretError as error:
        raise AuthenticationError.of(error, host=host.name) from None


async def _addresses(name: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a name, in the order of the system. Raises socket.gaierror and TimeoutError.

    Nothing can interrupt the system while it asks, and at its end, Python waits for the threads of a loop: so this is in another one.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()
    threading.Thread(target=_resolve, args=(name, port, loop, found), name="resolving", daemon=True).start()
    return await asyncio.wait_for(found, seconds)


def _resolve(name: str, port: int, loop: asyncio.AbstractEventLoop, found: asyncio.Future[list[str]]) -> None:
    try:
        addresses = [str(one[4][0]) for one in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]
        tell = partial(_set, found, list(dict.fromkeys(addresses)))
    except Exception as error:
        tell = partial(_set_error, found, error)
    with suppress(RuntimeError):  # nobody waits any more
        loop.call_soon_threadsafe(tell)


def _set(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _set_error(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _weight(error: OSError) -> int:
    """Return how much an error says about the host: a refusal more than silence, and silence more than a missing route."""
    return 2 if isinstance(error, ConnectionRefusedError) else 1 if isinstance(error, TimeoutError) else 0
