"""How much a host may say, and how long: the same for every transport. docs/formats.md has the numbers."""

from __future__ import annotations

import time

from nbserver.base.errors import StreamError
from nbserver.events.fields import MOST_EVENTS
from nbserver.events.reader import LONGEST_LINE

LARGEST_STREAM = 20_000_000  # bytes that one run of a script may say
LARGEST_START = 100_000  # bytes before the bootstrap is ready, such as a greeting of the user's shell
MOST_LINES = MOST_EVENTS
IDLE_PAUSE = 0.05  # seconds before a listener that answers at once, and with nothing, is asked again
ERRORS_KEPT = 4096  # bytes of what a script or a shell complains; the rest is let go

_TODO = "Something on the host says more than a script does: find it, then run this again"


class StreamAllowance:
    """Counts what one run of a script says. Raises StreamError past a limit."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._bytes = self._lines = 0

    def bytes(self, count: int) -> None:
        """So many more came."""
        self._bytes += count
        if self._bytes > LARGEST_STREAM:
            raise StreamError(f"it says more than {LARGEST_STREAM // 1_000_000} MB in one run", host=self._host, todo=_TODO)

    def line(self) -> None:
        """One more came."""
        self._lines += 1
        if self._lines > MOST_LINES:
            raise StreamError(f"it says more than {MOST_LINES:,} lines in one run", host=self._host, todo=_TODO)

    def length(self, count: int) -> None:
        """A line that has not ended is so long."""
        if count > LONGEST_LINE:
            raise StreamError(f"it says a line that is longer than {LONGEST_LINE // 1_000_000} MB", host=self._host, todo=_TODO)


def complaint_is_too_long(host: str, length: int) -> None:
    """Raises StreamError where so many bytes came on standard error."""
    if length > LARGEST_STREAM:
        raise StreamError(f"it says more than {LARGEST_STREAM // 1_000_000} MB on standard error", host=host, todo=_TODO)


def start_is_too_long(host: str, length: int) -> None:
    """Raises StreamError where so many bytes came, and the bootstrap is not ready yet."""
    if length > LARGEST_START:
        todo = "Look at what the start-up files of the user's shell print on the host"
        raise StreamError(f"it says more than {LARGEST_START // 1000} kB before the script can start", host=host, todo=todo)


def in_time(host: str, deadline: float) -> None:
    """Raises StreamError after the deadline."""
    if time.monotonic() > deadline:
        raise StreamError(
            "the run has not ended in time; the connection was closed",
            host=host,
            todo="Find out what the host is doing, then run this again",
        )
