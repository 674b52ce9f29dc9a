"""Files that nobody may have prepared as a trap: a regular file, no link, of a limited size, read once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nbserver.base.errors import ApprovalError
from nbserver.base.plain_text import clean

_NAME_SURROGATE = 0x20000000  # the bit of a reparse tag that says: this name means another place (Windows)
# Flags that a system lacks are 0 there. A FIFO would keep O_RDONLY waiting for somebody who writes.
_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)


def read(path: Path, limit: int, *, todo: str) -> bytes:
    """The bytes of a regular file of at most `limit` bytes. Raises ApprovalError, which says `todo` where there is none."""

    def wrong(what: str, todo: str = todo) -> ApprovalError:
        return ApprovalError(what, where=shown(path), todo=todo)

    try:
        before = os.lstat(path)
        if is_link(before):
            raise wrong("is a link", "Name or copy the file itself")
        if not stat.S_ISREG(before.st_mode):
            raise wrong("is not a regular file")
        with open(os.open(path, _FLAGS), "rb") as file:  # noqa: PTH123 (the flags are what this is about)
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or not os.path.samestat(found, before):
                raise wrong("was replaced while it was read")
            data = file.read(limit + 1) if found.st_size <= limit else None
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise wrong(f"cannot be read ({getattr(error, 'strerror', None) or 'not a path'})") from None
    if data is None or len(data) > limit:
        raise wrong(f"is larger than {limit} bytes")
    return data


def names(folder: Path) -> set[str]:
    """The names of what is in a folder, which must not be a link itself. Raises ApprovalError."""
    try:
        found = os.lstat(folder)
        if is_link(found):
            raise ApprovalError("is a link", where=shown(folder), todo="Name the folder itself")
        if not stat.S_ISDIR(found.st_mode):
            raise ApprovalError("is not a folder", where=shown(folder), todo="Name the folder that was rendered")
        return set(os.listdir(folder))  # noqa: PTH208 (names only)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or "not a path"
        raise ApprovalError(f"cannot be read ({words})", where=shown(folder), todo="Name the folder that was rendered") from None


def is_link(found: os.stat_result) -> bool:
    """Whether this is a link, or on Windows a junction or another name for a place elsewhere."""
    return stat.S_ISLNK(found.st_mode) or bool(getattr(found, "st_reparse_tag", 0) & _NAME_SURROGATE)


def shown(path: Path) -> str:
    """A path as a message may hold it."""
    return clean(str(path), 500)
