"""The lines of a lock: one package, its version, and the hashes of its permitted files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

# Strings in the condition (PEP 508) are in double quotes.
_LINE = re.compile(
    r"(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)==[0-9][0-9a-z.!+-]*"
    r'(?P<condition> ; [A-Za-z0-9_.<>=!"*() ]+)?( --hash=sha256:[0-9a-f]{64})+'
)


def package_of(line: str, *, conditions: bool) -> str | None:
    """Return the package of a line, or None if it is not a valid line. `conditions`: whether the line can have a condition."""
    match = _LINE.fullmatch(line)
    return match["name"] if match and (conditions or not match["condition"]) else None


def digest(lines: Iterable[str]) -> str:
    """Return the SHA-256 over the lines, each with a line feed."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode("ascii")).hexdigest()


def made(content: bytes) -> str | None:
    """Return the date, YYYY-MM-DD, the first one in the comments at the top of a file, or None."""
    for line in content[:4000].decode("utf-8-sig", "replace").splitlines():
        if not line.startswith("#"):
            break
        if found := re.search(r"\b20[0-9]{2}-[01][0-9]-[0-3][0-9]\b", line):
            return found[0]
    return None


def pin_of(line: str) -> tuple[str, str] | None:
    """Return the package of a line and its version, or None if it is not a valid line."""
    match = _LINE.fullmatch(line)
    return (match["name"], line[len(match["name"]) + 2 :].split(" ", 1)[0]) if match else None
