"""What a mirror, or a proxy before it, gets wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

Kind = Literal["no_range", "cut", "wrong_bytes", "missing", "html", "proxy_authentication"]


@dataclass
class Misbehaviour:
    """`kind` for the next `times` GETs of a path that fits the glob pattern `path`; None: every time.

    no_range               the whole file, whatever part was asked for
    cut                    the connection is closed after `after` bytes of the body
    wrong_bytes            the right length, another content
    missing                404
    html                   200 with a page, as a login portal answers
    proxy_authentication   407
    """

    kind: Kind
    path: str = "*"
    times: int | None = 1
    after: int = 0

    def applies(self, path: str) -> bool:
        """True if it applies to this request, which it then uses up."""
        if self.times == 0 or not fnmatch(path, self.path):
            return False
        if self.times is not None:
            self.times -= 1
        return True


def other_bytes(data: bytes) -> bytes:
    """As long as `data`, and nowhere equal to it."""
    return bytes(byte ^ 0x55 for byte in data)
