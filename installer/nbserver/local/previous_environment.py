"""The environment that the last upgrade of the server of this machine has kept, on Linux."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbserver.local.places import LinuxPlaces

_PYTHON = re.compile(r"(/.+/env-[0-9a-f]{8})/bin/python|/usr/bin/python3[0-9.]*")
_LOCK = re.compile("[0-9a-f]{64}")
_LONGEST = 4200  # characters of a first line: a path


def read(where: LinuxPlaces) -> dict[str, str] | None:
    """Return the environment as in the event `status`, or None if none is kept, or if this user cannot read it.

    This is what linux_scripts/prelude/rollback.sh reports in mode status.
    """
    try:
        if where.switch.exists():
            return None
        found = _PYTHON.fullmatch(_first_line(where.previous))
        if found is None or not os.access(found[0], os.X_OK):
            return None
    except OSError:
        return None
    environment = found[1] or found[0]
    lock, installed = _lock(Path(environment) / "nbserver.lock")
    return {"environment": environment, "lock": lock, "installed": installed}


def _lock(file: Path) -> tuple[str, str]:
    """Return the hash of the lock and when its packages were installed (UTC), or two empty strings."""
    try:
        lock, installed = _first_line(file), file.stat().st_mtime
    except OSError:
        return "", ""
    if not _LOCK.fullmatch(lock):
        return "", ""
    return lock, datetime.fromtimestamp(installed, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _first_line(file: Path) -> str:
    """Return the first line without its end. Raises OSError."""
    with file.open(encoding="utf-8", errors="replace") as opened:
        return opened.readline(_LONGEST).rstrip("\n")
