"""Limits on the amount and duration of a host's output, the same for every transport. docs/formats.md lists them."""

from __future__ import annotations

import time

from nbserver.base.errors import StreamError
from nbserver.events.fields import MOST_EVENTS
from nbserver.events.reader import LONGEST_LINE

LARGEST_STREAM = 20_000_000  # bytes of output in one run of a script
LARGEST_START = 100_000  # bytes before the bootstrap is ready, such as a greeting of the user's shell
MOST_LINES = MOST_EVENTS
IDLE_PAUSE = 0.05  # seconds between requests to a listener that answers immediately with no output
ERRORS_KEPT = 16_384  # bytes at the end of the error output of a script or a shell; what is before them is discarded

_TODO = "Find out what produces this output on the host, then run the command again"


class StreamAllowance:
    """Counts the output of one run of a script. Raises StreamError when it exceeds a limit."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._bytes = self._lines = 0

    def bytes(self, count: int) -> None:
        """Count received bytes."""
        self._bytes += count
        if self._bytes > LARGEST_STREAM:
            raise StreamError(
                "output-too-large",
                "the host sent more than {limit} MB in one run",
                host=self._host,
                todo=_TODO,
                limit=LARGEST_STREAM // 1000000,
            )

    def line(self) -> None:
        """Count a received line."""
        self._lines += 1
        if self._lines > MOST_LINES:
            raise StreamError(
                "output-too-many-lines",
                "the host sent more than {limit} lines in one run",
                host=self._host,
                todo=_TODO,
                limit=f"{MOST_LINES:,}",
            )

    def length(self, count: int) -> None:
        """Check the length of a line, which may be incomplete."""
        if count > LONGEST_LINE:
            raise StreamError(
                "output-line-too-long",
                "the host sent a line longer than {limit} MB",
                host=self._host,
                todo=_TODO,
                limit=LONGEST_LINE // 1000000,
            )


def complaint_is_too_long(host: str, length: int) -> None:
    """Raise StreamError if the error output, of `length` bytes, exceeds the limit."""
    if length > LARGEST_STREAM:
        raise StreamError(
            "error-output-too-large",
            "the script wrote more than {limit} MB to standard error",
            host=host,
            todo=_TODO,
            limit=LARGEST_STREAM // 1000000,
        )


def start_is_too_long(host: str, length: int) -> None:
    """Raise StreamError if the output before the bootstrap is ready, of `length` bytes, exceeds the limit."""
    if length > LARGEST_START:
        raise StreamError(
            "start-output-too-large",
            "the host sent more than {limit} kB before the script started",
            host=host,
            todo="Check what the user's shell startup files on the host print",
            limit=LARGEST_START // 1000,
        )


def in_time(host: str, deadline: float) -> None:
    """Raise StreamError if the deadline has passed."""
    if time.monotonic() > deadline:
        raise StreamError(
            "run-too-slow",
            "the run exceeded its time limit, so nbserver closed the connection",
            host=host,
            todo="The script may still be running on the host. Run nbserver status HOST, check the host's load, then try again",
        )
