"""Receive the log of a notebook server, line by line. It comes as events `content`, whose data is kept nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from nbserver.base.errors import ScriptError
from nbserver.base.plain_text import clean
from nbserver.notebooks.part import Part
from nbserver.run.log_request import CURSOR, MOST_SECONDS, LogRequest
from nbserver.run.transfer import HostFile, Stripping
from nbserver.transports.payload import NOTHING, Payload
from nbserver.transports.transport import Transport

LONGEST_LINE = 4100  # characters
MOST_AT_ONCE = 64_000_000  # bytes of one run


@dataclass
class LogReading:
    """Reads the log of one host, and calls `show` with each line, which has been cleaned.

    `since`, `lines`, and `cursor` are those of LogRequest. A reading that `follows` consists of several runs, one after the other.
    `shown` is the number of lines so far. `show` is called in the thread of the host.
    """

    show: Callable[[str], None]
    lines: int
    since: datetime | None = None
    follows: bool = False
    cursor: str = ""
    shown: int = 0
    parts: tuple[Part, ...] = ()

    def request(self) -> LogRequest:
        """Return what the next run asks for."""
        asked = LogRequest(self.lines, self.since, MOST_SECONDS if self.follows else 0)
        return replace(asked, cursor=self.cursor)

    def take(self, line: bytes) -> None:
        """Show a line."""
        self.shown += 1
        self.show(clean(line.decode("utf-8", "replace"), LONGEST_LINE))

    def watch(self, transport: Transport, host: str, ended: list[HostFile]) -> Transport:
        """Return the transport, whose events have no data from now on."""
        run = transport.run

        def carried(script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
            receiver = _Receiver(self, host, ended)
            for line in run(script, envelope):
                yield receiver.without_data(line) if '"event":"content"' in line else line

        transport.run = carried  # type: ignore[method-assign]
        return transport


class _Receiver(Stripping):
    """Takes the lines and the cursor of one run. What else a host sends is discarded."""

    def __init__(self, reading: LogReading, host: str, ended: list[HostFile]) -> None:
        super().__init__(host, ended)
        self._reading, self._rest, self._size = reading, b"", 0

    def take(self, path: str, offset: int, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MOST_AT_ONCE:
            raise ScriptError(
                "log-too-large",
                "the host sent more than {size} MB of its log",
                host=self._host,
                todo="Specify fewer lines with --lines",
                size=MOST_AT_ONCE // 1_000_000,
            )
        if path == "cursor" and CURSOR.fullmatch(piece.decode("ascii", "replace")):
            self._reading.cursor = piece.decode("ascii")
        elif path == "log":
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                self._reading.take(line)

    def end(self, path: str, state: str) -> None:
        """No file ends."""
