"""Lines out of a stream of bytes that may have a hole where a connection was lost."""

from __future__ import annotations

import json

from nbserver.transports.answer_limits import StreamAllowance


class Lines:
    """Takes bytes as they come and gives whole lines, without their ends. What is not ASCII comes out as U+FFFD.

    Raises StreamError where the host says too much.
    """

    def __init__(self, host: str) -> None:
        self._allowance = StreamAllowance(host)
        self._rest = bytearray()
        self._doubtful = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that end in `data`."""
        self._allowance.bytes(len(data))
        begun = len(self._rest)
        self._rest += data
        if self._rest.find(b"\n", begun) < 0:
            self._allowance.length(len(self._rest))
            return []
        *whole, rest = self._rest.split(b"\n")
        self._rest = rest
        for line in (*whole, rest):
            self._allowance.length(len(line))
        for _ in whole:
            self._allowance.line()
        if self._doubtful:
            self._doubtful = False
            if not _is_object(whole[0]):
                del whole[0]
        return [_text(line) for line in whole if line.strip()]

    def torn(self) -> None:
        """Says that bytes may be missing here. A line that has its beginning before or behind the hole is let go.

        So no line is ever put together from two. The numbers of the events tell that one is missing.
        """
        self._rest = bytearray()
        self._doubtful = True

    def end(self) -> list[str]:
        """What is left behind the last line end."""
        return self.feed(b"\n")


def _text(line: bytearray) -> str:
    return line.rstrip(b"\r").decode("ascii", "replace")


def _is_object(line: bytearray) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
