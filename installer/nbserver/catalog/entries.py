"""The entries of a catalog: the file of a program, and the packages of a Python version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nbserver.catalog import windows_releases


@dataclass(frozen=True)
class Download:
    """One file. `sha256` is 64 lower-case hex digits, or None: unverified entries are never used. `size` is in bytes, if known.

    `executable` is the path of the program inside a zip or the folder of an installer (one), or the paths where an msi may install
    it (in order), with backslashes. The Visual C++ redistributable has none.
    `source` is where the hash of the publisher was read.
    `windows` is the lowest NT version that it supports. `end_of_life`: its publisher no longer fixes it.
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
    sources: tuple[Download, ...] = ()

    @property
    def every_source(self) -> tuple[Download, ...]:
        """The entry, and what hosts download instead if it is gone: in this order."""
        return (self, *self.sources)


@dataclass(frozen=True)
class Lock:
    """The packages of one Python version and architecture: `lines` are sorted, `NAME==VERSION --hash=sha256:HEX [--hash=...]`.

    `sha256` is over the lines, each with a line feed: comments in the file do not change it. `made` is the date in its comments.
    """

    python: str
    architecture: str
    file: str
    lines: tuple[str, ...]
    sha256: str
    made: str | None = None
