"""Write files on the workstation atomically: a file is complete, or unchanged."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


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
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace `path` with UTF-8 text in one step. Line ends are not converted."""
    write_bytes(path, text.encode("utf-8"), mode=mode)
