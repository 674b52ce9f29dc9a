"""Find out whether a folder can be written, before anything depends on it."""

from __future__ import annotations

import tempfile
from pathlib import Path


def require_writable(folder: Path) -> None:
    """Create a file in the folder and remove it. Raises OSError. Access rights alone do not say it: a file system can be read-only."""
    with tempfile.NamedTemporaryFile(prefix=".nbserver.", dir=folder):
        pass
