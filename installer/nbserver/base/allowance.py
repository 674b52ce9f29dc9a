"""Limits for what a server can use on this workstation: total time, and time and bytes for each response.

The timeout of a socket restarts with each byte, and a library reads as much as the server sends. So the socket itself enforces the
limits, whatever library reads from it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any

from nbserver.base.message import Cause

LARGEST_ANSWER = 10 * 1024 * 1024
"""Maximum size of one response in bytes, including its headers."""

_LARGEST_READ = 64 * 1024


class TooMuch(Cause):
    """The response has too many bytes. This is not an OSError, so that no library handles it as a lost connection."""


class Allowance:
    """The limits of one connection. `seconds` is the total time from now. Call `exchange` before each response.

    Not thread-safe.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all_seconds, self._all_end = seconds, clock() + seconds
        self.exchange(seconds)

    def exchange(self, seconds: float, size: int = LARGEST_ANSWER) -> None:
        """Set the limits for the next response. The total time still applies."""
        self._seconds, self._end = seconds, self._clock() + seconds
        self._size = self._bytes = size

    def within(self, seconds: float) -> None:
        """Set the total time for everything that follows."""
        self._all_seconds, self._all_end = seconds, self._clock() + seconds

    def left(self) -> float:
        """Return how many seconds are left for this response. Raises TimeoutError if none are left."""
        left = min(self._end, self._all_end) - self._clock()
        if left <= 0:
            raise TimeoutError("the time limit is exceeded")
        return left

    def over(self) -> float:
        """Return the exceeded time limit in seconds, or 0 if none is exceeded."""
        now = self._clock()
        if now >= self._all_end:
            return self._all_seconds
        return self._seconds if now >= self._end else 0.0

    def take(self, size: int) -> None:
        """Count received bytes. Raises TooMuch."""
        self._bytes -= size
        if self._bytes < 0:
            raise TooMuch("response-too-large", "the server sent more than {size} in one response", size=_human(self._size))


def keep_to(allowance: Allowance, context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the same context, whose sockets enforce the limits of the allowance."""

    class Socket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            self.settimeout(allowance.left())
            super().do_handshake(block)

        def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
            self.settimeout(allowance.left())
            data = super().recv(min(buflen, _LARGEST_READ), flags)  # the whole buffer is allocated first
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
