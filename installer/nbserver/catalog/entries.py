"""What a catalog is made of: a program's file, and the packages of a Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nbserver.catalog import windows_releases


@dataclass(frozen=True)
class Download:
    """One file. `sha256` is 64 lower-case hex digits, or None: unverified, never used. `size` is in bytes, if known.

    `executable` is the program's path inside a zip or an installer's folder (one), or where an msi puts it (candidates,
    in order); backslashes. The Visual C++ redistributable has none.
    `source` tells where the publisher's hash was read.
    `windows` is the lowest NT version on which it runs; `end_of_life`: its publisher repairs no faults in it any more.
    """

    name: str
    version: str
    architecture: str
    kind: Literal["zip", "msi", "exe"]
    url: str
    sha256: str | None
    size: int | None
    executable: tuple[str, ...]
    source: str
    needs_vc_redist: bool = False
    windows: str = windows_releases.OLDEST
    end_of_life: bool = False


@dataclass(frozen=True)
class Lock:
    """The packages of one Python and architecture: `lines` are sorted, `NAME==VERSION --hash=sha256:HEX [--hash=...]`.

    `sha256` is of the lines, each with a line feed: a comment in the file changes nothing.
    """

    python: str
    architecture: str
    file: str
    lines: tuple[str, ...]
    sha256: str
