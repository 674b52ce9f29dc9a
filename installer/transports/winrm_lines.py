"""Lines out of a stream of bytes that may have a hole where a connection was lost."""

from __future__ import annotations

import json


class Lines:
    """Takes bytes as they come and gives whole lines, without their ends. What is not ASCII comes out as U+FFFD."""

    def __init__(self) -> None:
        self._rest = b""
        self._doubtful = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that end in `data`."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if whole and self._doubtful:
            self._doubtful = False
            if not _is_object(whole[0]):
                del whole[0]
        return [_text(line) for line in whole if line.strip()]

    def torn(self) -> None:
        """Says that bytes may be missing here. A line that has its beginning before or behind the hole is let go.

        So no line is ever put together from two. The numbers of the events tell that one is missing.
        """
        self._rest = b""
        self._doubtful = True

    def end(self) -> list[str]:
        """What is left behind the last line end."""
        return self.feed(b"\n")


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("ascii", "replace")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
