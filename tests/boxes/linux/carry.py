"""TCP connections between this machine's network and a network namespace, carried by threads of this process.

A thread may live in another network namespace than its process; what it listens on or connects to is there. So pytest stays
outside, sees a host as a port of 127.0.0.1, and can cut that line whenever a test wants.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")
CLONE_NEWNET = 0x40000000  # linux/sched.h
NAMESPACES = Path("/run/netns")


def enter(namespace: str) -> None:
    """Moves the calling thread, and no other, into a network namespace made by `ip netns add`. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (NAMESPACES / namespace).open() as file:
        if libc.setns(file.fileno(), CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), namespace)


class LoopThread:
    """A thread with an event loop, in the network namespace of that name, or in this process's own."""

    def __init__(self, namespace: str | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=[namespace], name=f"network {namespace}", daemon=True)
        self._error: OSError | None = None
        self._started = threading.Event()
        self._thread.start()
        self._started.wait()
        if self._error:
            raise self._error

    def _run(self, namespace: str | None) -> None:
        try:
            if namespace:
                enter(namespace)
        except OSError as error:
            self._error = error
            return
        finally:
            self._started.set()
        self.loop.run_forever()

    def do(self, work: Coroutine[Any, Any, Result], timeout: float = 60) -> Result:
        """Runs a coroutine in the thread and waits for it at most `timeout` seconds. Raises what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def call(self, function: Callable[[], Result]) -> Result:
        """Calls a function in the thread."""

        async def work() -> Result:
            return function()

        return self.do(work())

    def close(self) -> None:
        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def listen(address: str, port: int = 0) -> socket.socket:
    """A listening socket of the calling thread's network."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(100)
    return listener


class Forward:
    """Carries each connection that `listener` gets to `target`, which is reached from the network of `thread`."""

    def __init__(self, thread: LoopThread, listener: socket.socket, target: tuple[str, int]) -> None:
        self.port: int = listener.getsockname()[1]
        self.carried = 0
        self._thread, self._target = thread, target
        self._open: set[asyncio.StreamWriter] = set()
        self._server = thread.do(asyncio.start_server(self._carry, sock=listener))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        other: asyncio.StreamWriter | None = None
        try:
            answers, other = await asyncio.open_connection(*self._target)
            self._open.add(other)
            self.carried += 1
            await asyncio.gather(_pump(reader, other), _pump(answers, writer))
        except OSError:
            pass  # one end is gone: the other one is told by its connection's end
        finally:
            for end in (writer, other):
                if end is not None:
                    self._open.discard(end)
                    end.transport.abort()

    def cut(self) -> None:
        """Resets every connection that is open now, at both ends. New ones are carried as before."""

        def reset() -> None:
            for writer in self._open:
                with contextlib.suppress(OSError):
                    line: socket.socket = writer.get_extra_info("socket")
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

        self._thread.call(reset)

    def close(self) -> None:
        """No new connections, and an end to those that are open."""
        self._thread.call(self._server.close)
        self.cut()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
