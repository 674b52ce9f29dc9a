"""The lock for Linux hosts: one file for Python 3.10 and later, x86_64 and aarch64. The condition of a line limits where it applies."""

from __future__ import annotations

import hashlib
import importlib.resources
from dataclasses import dataclass

from nbserver.base.errors import CatalogError
from nbserver.catalog import lock_lines

FILE = "linux.txt"


@dataclass(frozen=True)
class LinuxLock:
    """`lines` are sorted, `NAME==VERSION [; CONDITION] --hash=sha256:HEX [--hash=...]`; `sha256` is over them, each with a line feed.

    `file_sha256` is over the whole file, with its comments, and `made` is the date in them.
    """

    lines: tuple[str, ...]
    sha256: str
    file_sha256: str
    made: str | None = None


def load() -> LinuxLock:
    """Return the shipped lock. Raises CatalogError with file and line."""
    return parse(importlib.resources.files("nbserver").joinpath("catalog", "data", "locks", FILE).read_bytes())


def parse(content: bytes) -> LinuxLock:
    lines = []
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        line = line.rstrip()
        if not line or line.startswith("#"):
            continue
        if lock_lines.package_of(line, conditions=True) is None:
            raise CatalogError(
                "linux-lock-line-invalid",
                "the line is not valid; expected NAME==VERSION [; CONDITION] --hash=sha256:HEX",
                where=f"{FILE}:{number}",
            )
        lines.append(line)
    if not lines:
        raise CatalogError("lock-empty", "the file contains no packages", where=FILE)
    lines.sort()
    return LinuxLock(tuple(lines), lock_lines.digest(lines), hashlib.sha256(content).hexdigest(), lock_lines.made(content))
