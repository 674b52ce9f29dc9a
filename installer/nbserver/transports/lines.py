"""Split a byte stream into lines. The stream may have a gap where a connection was lost."""

from __future__ import annotations

import json

from nbserver.transports.answer_limits import StreamAllowance


class Lines:
    """Turns received bytes into complete lines without line ends. Non-ASCII bytes become U+FFFD.

    Raises StreamError if the host sends too much.
    """

    def __init__(self, host: str) -> None:
        self._allowance = StreamAllowance(host)
        self._rest = bytearray()
        self._doubtful = False

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes."""
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
        """Mark a gap: bytes may be missing at this point. A line that begins before or inside the gap is discarded.

        This way no line is joined from parts of two lines. The event numbers show that an event is missing.
        """
        self._rest = bytearray()
        self._doubtful = True

    def end(self) -> list[str]:
        """Return the text after the last line end."""
        return self.feed(b"\n")


def _text(line: bytearray) -> str:
    return line.rstrip(b"\r").decode("ascii", "replace")


def _is_object(line: bytearray) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
