"""Whether a path exists, where "nobody may say" is not "no"."""

from __future__ import annotations

import errno
from pathlib import Path

# As Path.exists of Python 3.13 and before: https://docs.python.org/3.14/library/pathlib.html#pathlib.Path.exists
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP)
_ABSENT_ON_WINDOWS = (21, 123, 1921)  # the drive is not ready, the name is not valid, the link leads nowhere


def exists(path: Path, *, denied: bool | None = None) -> bool:
    """Return whether a path exists, by what a link leads to; `denied`, if given, where this user may not search its folder.

    Since Python 3.14, Path.exists answers False if a folder may not be searched or a disk cannot be read. A file that cannot be
    seen would count as one that was never written.

    Raises OSError if the answer is unknown.
    """
    try:
        path.stat()
    except OSError as error:
        if error.errno in _ABSENT or getattr(error, "winerror", None) in _ABSENT_ON_WINDOWS:
            return False
        if denied is not None and isinstance(error, PermissionError):
            return denied
        raise
    except ValueError:  # a name with a zero byte
        return False
    return True
