"""The environment that the last upgrade of the server of this machine has kept."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.existing import exists

if TYPE_CHECKING:
    from nbserver.local.places import LinuxPlaces, WindowsPlaces

_PYTHON = re.compile(r"(/.+/env-[0-9a-f]{8})/bin/python|/usr/bin/python3[0-9.]*")
_WINDOWS_PYTHON = r"\\(env-[0-9a-z.]+-[0-9a-f]{8})\\Scripts\\python\.exe"  # below the folder of the programs
_LOCK = re.compile("[0-9a-f]{64}")
_LONGEST = 4200  # characters of a first line: a path


def on_linux(where: LinuxPlaces) -> dict[str, str] | None:
    """Return the environment as in the event `status`, or None if none is kept, or if this user cannot read it.

    This is what linux_scripts/prelude/rollback.sh reports in mode status.
    """
    try:
        if exists(where.switch):
            return None
        found = _PYTHON.fullmatch(_first_line(where.previous))
        if found is None or not os.access(found[0], os.X_OK):
            return None
    except OSError:
        return None
    environment = found[1] or found[0]
    lock, installed = _lock(Path(environment) / "nbserver.lock")
    return {"environment": environment, "lock": lock, "installed": installed}


def on_windows(where: WindowsPlaces) -> dict[str, str] | None:
    """Return the same, as ps_scripts/prelude/rollback.ps1 reports it."""
    try:
        if exists(where.switch):
            return None
        found = re.fullmatch(re.escape(str(where.programs)) + _WINDOWS_PYTHON, _first_line(where.previous).rstrip(), re.IGNORECASE)
        if found is None or not _is_complete(where.programs / found[1]):
            return None
    except OSError:
        return None
    lock, installed = _lock(where.programs / found[1] / "nbserver.lock")
    return {"environment": f"{where.programs}\\{found[1]}", "lock": lock, "installed": installed}


def _is_complete(environment: Path) -> bool:
    """Return whether an environment on Windows has its lock and its Python, also the one that it was created from. Raises OSError."""
    home = re.search(r"^home = (.+)$", (environment / "pyvenv.cfg").read_text("utf-8", "replace"), re.MULTILINE)
    files = (environment / "Scripts" / "python.exe", environment / "nbserver.lock")
    return home is not None and all(file.is_file() for file in (*files, Path(home[1].strip()) / "python.exe"))


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
