"""Connections through the jump hosts of a host to one of its ports."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import asyncssh

from nbserver.base.errors import ConnectError, HostError
from nbserver.transports.ssh.connection import Connection
from nbserver.transports.ssh.errors import CLOSED
from nbserver.transports.ssh.jump_errors import of_target

if TYPE_CHECKING:
    from types import TracebackType

    from nbserver.inventory.ssh_server import SshServer
    from nbserver.transports.transport import LogonSecrets

CHUNK = 65536  # bytes
PROBE = 20.0  # seconds for the jump host to say why it cannot connect


class Forward:
    """A way through jump hosts, until `close`. `dial` opens a connection, which only this process can use: nothing listens.

    `name` is the name of the host, `address` and `port` are where the last of the `hops` connects. A thread of its own passes the
    data on. Raises HostError and StopRequested.
    """

    def __init__(
        self, name: str, hops: Sequence[SshServer], secrets: Sequence[LogonSecrets], address: str, port: int, stop: threading.Event
    ) -> None:
        self._name, self._hop = name, hops[-1].name
        self._address, self._port = address, port
        self._way = Connection(name, [*zip(hops, secrets, strict=True)], stop)
        self._passing: set[asyncio.Task[None]] = set()
        self._lost = threading.Event()
        self._watching = self._way.start(self._watch())
        self._thread = threading.Thread(target=self._way.loop.run_forever, name=f"way to {name}", daemon=True)
        self._thread.start()

    def dial(self, timeout: float | None) -> socket.socket:
        """Return a connection to the port of the host, as base/dialing describes it. Raises OSError."""
        near, far = socket.socketpair()
        near.settimeout(timeout)
        opening: Future[None] | None = None
        try:
            opening = self._begin(self._lead(far))
            opening.result(timeout)
        except BaseException as error:
            if opening:
                opening.cancel()
            near.close()
            far.close()
            if isinstance(error, asyncssh.Error):
                raise ConnectionAbortedError(errno.ECONNABORTED, str(error)) from error
            raise
        return near

    async def _lead(self, far: socket.socket) -> None:
        from_host, to_host = await self._way.connection.open_connection(self._address, self._port)
        from_us, to_us = await asyncio.open_connection(sock=far)

        async def pass_on() -> None:
            try:
                await asyncio.gather(_copy(from_us, to_host), _copy(from_host, to_us))
            except (OSError, asyncssh.Error):
                pass  # both sides notice that the connection ends
            finally:
                to_host.close()
                to_us.close()

        task = asyncio.get_running_loop().create_task(pass_on())
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    @property
    def is_lost(self) -> bool:
        """Whether the connection to the jump host was lost."""
        return self._lost.is_set()

    def reason(self) -> HostError | None:
        """Return why the jump host does not connect to the host, or None if it does. It tries once more to find out."""
        try:
            self._begin(self._probe()).result(PROBE)
        except asyncssh.ChannelOpenError as error:
            if error.reason != CLOSED:
                return of_target(error, self._name, self._hop, f"{self._address}:{self._port}")
            return ConnectError(
                "jump-lost",
                "the connection to the jump host {hop} was lost",
                host=self._name,
                todo="Check the jump host and the network, then run the command again",
                hop=self._hop,
            )
        except (OSError, TimeoutError, asyncssh.Error):
            pass
        return None

    def _begin(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        """Start work in the thread of this way. Raises ConnectionAbortedError if it was closed meanwhile, such as after Ctrl-C."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._way.loop)
        except RuntimeError:
            work.close()
            raise ConnectionAbortedError(errno.ECONNABORTED, "the way through the jump hosts was closed") from None

    def explained(self, error: HostError) -> HostError:
        """Return the error to show for one that occurred on this way: if there is no connection, the jump host may know why."""
        return (self.reason() or error) if isinstance(error, ConnectError) else error

    async def _watch(self) -> None:
        await self._way.connection.wait_closed()
        self._lost.set()

    async def _probe(self) -> None:
        _, writer = await self._way.connection.open_connection(self._address, self._port)
        writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Never raises."""
        if not self._thread.is_alive():
            return
        with suppress(Exception):
            self._way.loop.call_soon_threadsafe(self._way.loop.stop)
            self._thread.join()
        self._way.close()


async def _copy(reader: Any, writer: Any) -> None:
    """Pass on what a stream of asyncio or asyncssh has, up to its end."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
