"""A file that a person names for the output of a command: it replaces earlier output, and nothing else."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from nbserver.base import plain_file
from nbserver.base.errors import UsageError


def is_below(path: Path, folder: Path) -> bool:
    """Return whether a file, which need not exist, is in a folder or below it. Links are followed."""
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents  # resolve raises for a link to itself


def require_no_other_content(path: Path, *begins: bytes) -> None:
    """Raise UsageError if the file exists, is not empty, and begins otherwise than earlier output: it could be the inventory.

    Without `begins`, the output is XML or HTML, which begin with <. What is not a file is not read.
    """
    begin = b""
    with suppress(OSError):
        if stat.S_ISREG(path.stat().st_mode):
            with path.open("rb") as file:
                begin = file.read(100)
    begin = begin.removeprefix(b"\xef\xbb\xbf").lstrip()
    if begin and not begin.startswith(begins or b"<"):
        raise UsageError(
            "output-is-other-file",
            "the file already exists, and does not look like earlier output of this command",
            where=plain_file.shown(path),
            todo="Choose another file, or remove the existing file",
        )
