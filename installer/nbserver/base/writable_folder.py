"""Create a folder that will be written, and find out whether it can be, before anything depends on it."""

from __future__ import annotations

import tempfile
from pathlib import Path


def require_writable(folder: Path) -> None:
    """Create the folder if it is missing, and a file in it, which is removed. Raises OSError.

    Access rights alone do not say it: a file system can be read-only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    require_writable_now(folder)


def require_writable_now(folder: Path) -> None:
    """Create a file in the folder, which must exist, and remove it. Raises OSError."""
    with tempfile.NamedTemporaryFile(prefix=".nbserver.", dir=folder):
        pass
