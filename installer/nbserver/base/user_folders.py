"""The folders of the current user."""

from __future__ import annotations

import os
from pathlib import Path

from nbserver.base.errors import UsageError


def home() -> Path:
    """Return the home folder of the user. In a container, a user may have no entry and, without HOME, no home folder."""
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError("no-home-folder", "this user has no home folder", where="HOME", todo="Set HOME to a folder that you own") from None


def folder(variable: str) -> Path:
    """Return the folder in a Windows environment variable, or its default location if the variable is not set."""
    named = os.environ.get(variable)
    if named:
        return Path(named)
    default = {"ProgramData": "C:/ProgramData", "ProgramFiles": "C:/Program Files"}.get(variable)
    return Path(default) if default else home() / "AppData" / "Local"


def program_data() -> Path:
    """Return %ProgramData% as Windows itself has it: a variable of the process can name another folder."""
    try:
        import winreg
    except ImportError:
        return Path("C:/ProgramData")
    place = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Explorer\Shell Folders"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:  # type: ignore[attr-defined, unused-ignore]
            return Path(str(winreg.QueryValueEx(key, "Common AppData")[0]))  # type: ignore[attr-defined, unused-ignore]
    except OSError:
        return Path("C:/ProgramData")
