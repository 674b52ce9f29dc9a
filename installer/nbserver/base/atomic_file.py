"""Write files on the workstation atomically: a file is complete, or unchanged."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PATIENCE = 3.0  # seconds for another program to close a file
PAUSE = 0.05  # seconds between attempts to replace it


def require_replaceable(path: Path) -> None:
    """Raise OSError for what is not a file, such as /dev/null or /dev/stdout: root would replace the device for all programs."""
    with suppress(FileNotFoundError):
        is_link = stat.S_ISLNK(os.lstat(path).st_mode)
        if not stat.S_ISREG(path.stat().st_mode) or (is_link and str(path.readlink()).startswith("/proc/")):
            raise OSError(errno.EINVAL, "not a regular file")


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` in one step; its folder must exist. Raises OSError and then leaves no temporary file."""
    require_replaceable(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        put_into_place(temporary, path)
    except BaseException:
        with suppress(OSError):  # on Windows, another program can have it open, and the first error says more
            temporary.unlink()
        raise


def put_into_place(temporary: Path, path: Path) -> None:
    """Replace `path` with a complete file in the same folder, or move a folder to where nothing is. Raises OSError.

    On Windows, nobody can replace a file while a program has it open, such as a virus scanner or another nbserver that reads it,
    and nobody can move a folder while a program has a file in it open.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            temporary.replace(path)
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > until:
                raise
            time.sleep(PAUSE)
        else:
            return


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace `path` with UTF-8 text in one step. Line ends are not converted."""
    write_bytes(path, text.encode("utf-8"), mode=mode)
