"""Read files safely: only regular files of a limited size, no links, read once."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from nbserver.base.errors import ApprovalError
from nbserver.base.message import Message, message
from nbserver.base.plain_text import clean

_NAME_SURROGATE = 0x20000000  # the bit of a reparse tag for a name that points to another location (Windows)
# Flags that the system does not have are 0. Without O_NONBLOCK, a FIFO would block until it has a writer.
_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)


def opened(path: Path) -> BinaryIO:
    """Open a file for reading. A link is not followed, and a FIFO does not block. Raises OSError."""
    return open(os.open(path, _FLAGS), "rb")  # noqa: PTH123 (the flags are what this is about)


def read(path: Path, limit: int, *, advice: Message) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes. Raises ApprovalError with `advice`, what to do."""
    try:
        before = os.lstat(path)
        if is_link(before):
            raise ApprovalError(
                "file-is-link", "expected a file, found a link", where=shown(path), todo="Specify the file that the link points to"
            )
        if not stat.S_ISREG(before.st_mode):
            raise ApprovalError("not-a-regular-file", "must be a regular file", where=shown(path), todo="{advice}", advice=advice)
        with opened(path) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or not os.path.samestat(found, before):
                raise ApprovalError(
                    "file-replaced", "the file was replaced while it was being read", where=shown(path), todo="{advice}", advice=advice
                )
            data = file.read(limit + 1) if found.st_size <= limit else None
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise ApprovalError(
            "file-unreadable",
            "could not read the file ({reason})",
            where=shown(path),
            todo="{advice}",
            advice=advice,
            reason=_reason(error),
        ) from None
    if data is None or len(data) > limit:
        raise ApprovalError(
            "file-too-large", "the file is larger than {limit} bytes", where=shown(path), todo="{advice}", advice=advice, limit=limit
        )
    return data


def names(folder: Path) -> set[str]:
    """Return the names in a folder, which must not be a link itself. Raises ApprovalError."""
    try:
        found = os.lstat(folder)
        if is_link(found):
            raise ApprovalError(
                "folder-is-link", "expected a folder, found a link", where=shown(folder), todo="Specify the folder that the link points to"
            )
        if not stat.S_ISDIR(found.st_mode):
            raise ApprovalError(
                "not-a-folder", "must be a folder", where=shown(folder), todo="Specify the folder that nbserver render wrote"
            )
        return set(os.listdir(folder))  # noqa: PTH208 (names only)
    except (OSError, ValueError) as error:
        raise ApprovalError(
            "folder-unreadable",
            "could not read the folder ({reason})",
            where=shown(folder),
            todo="Specify the folder that nbserver render wrote",
            reason=_reason(error),
        ) from None


def _reason(error: Exception) -> Message | str:
    return getattr(error, "strerror", None) or message("not-a-valid-path", "the path contains a character that is not allowed in paths")


def is_link(found: os.stat_result) -> bool:
    """Return whether this is a link or, on Windows, a junction or another name for a different location.

    A file of OneDrive, or one that Data Deduplication has optimized, is a reparse point as well, but no other name.
    """
    return stat.S_ISLNK(found.st_mode) or bool(getattr(found, "st_reparse_tag", 0) & _NAME_SURROGATE)


def shown(path: Path) -> str:
    """Return a path for a message."""
    return clean(str(path), 500)
