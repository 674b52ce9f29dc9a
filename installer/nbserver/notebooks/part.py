"""A part of a file that a run copies. A file that is larger than what one run can carry has several parts."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

ABSENT = "-"
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Part:
    """A part of a file: `length` bytes from `offset`.

    `size` and `sha256` are those of the whole file, and `before` is the SHA-256 of the file that it replaces, or ABSENT.
    """

    path: str
    size: int
    sha256: str
    offset: int
    length: int
    before: str = ABSENT

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256) or not (self.before == ABSENT or _SHA256.fullmatch(self.before)):
            raise ValueError("a hash must be 64 lower-case hex digits")
        if not 0 <= self.offset <= self.offset + self.length <= self.size:
            raise ValueError("a part must be in its file")

    def line(self) -> str:
        """Return the line of the envelope."""
        path = base64.b64encode(self.path.encode("utf-8")).decode("ascii")
        return f"part {path} {self.size} {self.sha256} {self.offset} {self.length} {self.before}"

    @property
    def is_last(self) -> bool:
        """Whether the file is complete with this part."""
        return self.offset + self.length == self.size
