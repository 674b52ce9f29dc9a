"""Which lines of a notebook server's log a run asks its host for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

MOST_LINES = 10_000
MOST_SECONDS = 60
CURSOR = re.compile("[A-Za-z0-9:;=]{1,500}")


@dataclass(frozen=True)
class LogRequest:
    """The last `lines` lines (1 to 10,000) since `since`; with `cursor`, all lines after that place of the log instead.

    The host waits up to `seconds` (0 to 60) for more lines. A cursor is what a host has sent with the lines before.
    """

    lines: int
    since: datetime | None = None
    seconds: int = 0
    cursor: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.lines <= MOST_LINES:
            raise ValueError(f"lines must be from 1 to {MOST_LINES}")
        if not 0 <= self.seconds <= MOST_SECONDS:
            raise ValueError(f"seconds must be from 0 to {MOST_SECONDS}")
        if self.cursor and not CURSOR.fullmatch(self.cursor):
            raise ValueError("a cursor must be 1 to 500 letters, digits, colons, semicolons, and equals signs")

    def line(self) -> str:
        """Return the line of the envelope."""
        since = f"{self.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if self.since else "-"
        return f"log {self.lines} {since} {self.seconds} {self.cursor or '-'}"
