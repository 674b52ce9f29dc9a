"""The certificate authorities of a WinRM listener: what `ca_file` contains, read once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from nbserver.base.errors import InventoryError
from nbserver.settings.working_file import WorkingFile


def read(path: Path, name: str) -> bytes:
    """Return the contents of the `ca_file` of the host `name`.

    The approved hash and the connection are about the same bytes, so the file is read with the inventory, and never again. Raises
    InventoryError if it cannot be read, or if others may write to it.
    """
    try:
        return _shared(WorkingFile(path, InventoryError).read_bytes())
    except OSError as error:
        raise InventoryError(
            "ca-file-unreadable",
            "could not read the file set as ca_file for {name} ({reason})",
            todo="Check that the file exists and that you can read it",
            where=str(path),
            name=name,
            reason=error.strerror,
        ) from None


@lru_cache(maxsize=16)  # hosts share their authorities: those of a system have 200 KB
def _shared(data: bytes) -> bytes:
    """Return the same object for equal bytes."""
    return data
