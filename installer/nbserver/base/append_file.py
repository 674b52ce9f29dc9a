"""Open a private file to which bytes are appended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def opened(path: Path, *, follows_links: bool = True) -> BinaryIO:
    """Return the file, which is created if it is missing; then only its owner has access to it. Raises OSError.

    A FIFO that nobody reads is an error: to open it would wait for a reader.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= 0 if follows_links else getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o600)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "ab")
