"""What a server may take of this workstation: time for everything, and for each answer time and bytes.

A socket's own limit starts anew with each byte, and a library reads as much as it is sent. So the socket itself keeps to
these: whatever reads from it, the answer ends with the time, or with the bytes.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any

LARGEST_ANSWER = 10 * 1024 * 1024
"""Bytes of one answer, with its headers."""

_LARGEST_READ = 64 * 1024


class TooMuch(Exception):
    """The answer has more bytes than it may have. No OSError, so that no library takes it for a connection that broke."""


class Allowance:
    """`seconds` is the time for everything, from now on. Each answer begins with `exchange`.

    Not for several threads.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all_seconds, self._all_end = seconds, clock() + seconds
        self.exchange(seconds)

    def exchange(self, seconds: float, size: int = LARGEST_ANSWER) -> None:
        """The next answer may take so long, within the time for everything, and so many bytes."""
        self._seconds, self._end = seconds, self._clock() + seconds
        self._size = self._bytes = size

    def within(self, seconds: float) -> None:
        """From now on everything that is left may take so long."""
        self._all_seconds, self._all_end = seconds, self._clock() + seconds

    def left(self) -> float:
        """How many seconds are left for this answer. Raises TimeoutError where there are none."""
        left = min(self._end, self._all_end) - self._clock()
        if left <= 0:
            raise TimeoutError("the time is over")
        return left

    def over(self) -> float:
        """How many seconds there were, where they are over, else 0."""
        now = self._clock()
        if now >= self._all_end:
            return self._all_seconds
        return self._seconds if now >= self._end else 0.0

    def take(self, size: int) -> None:
        """So many bytes came. Raises TooMuch."""
        self._bytes -= size
        if self._bytes < 0:
            raise TooMuch(f"sent more than {_human(self._size)} for one answer")


def keep_to(allowance: Allowance, context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context; its sockets take the time and the bytes from the allowance."""

    class Socket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            self.settimeout(allowance.left())
            super().do_handshake(block)

        def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
            self.settimeout(allowance.left())
            data = super().recv(min(buflen, _LARGEST_READ), flags)  # memory for all of it is taken first
            allowance.take(len(data))
            return data

        def recv_into(self, *args: Any) -> int:
            self.settimeout(allowance.left())
            size = super().recv_into(*args)
            allowance.take(size)
            return size

        def send(self, *args: Any) -> int:
            self.settimeout(allowance.left())
            return super().send(*args)

    context.sslsocket_class = Socket
    return context


def _human(size: int) -> str:
    return f"{size // 1024 // 1024} MB" if size >= 1024 * 1024 else f"{size // 1024} KB"
