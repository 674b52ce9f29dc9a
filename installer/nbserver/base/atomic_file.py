"""A file on the workstation is there whole, or as it was before."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replaces `path` (its folder must exist) in one step. Raises OSError; nothing is left behind then."""
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
    """The same for text: UTF-8, line ends as they are."""
    write_bytes(path, text.encode("utf-8"), mode=mode)
