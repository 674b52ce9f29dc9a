"""The folders of the user who runs this."""

from __future__ import annotations

import os
from pathlib import Path

from nbserver.base.errors import UsageError


def home() -> Path:
    """The user's own folder. In a container a user may have no name, and without HOME no folder."""
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError("this user has no home folder", where="HOME", todo="Set HOME to a folder of yours") from None


def folder(variable: str) -> Path:
    """The folder that a variable of Windows names; where it is missing, where Windows has it when nobody moved it."""
    named = os.environ.get(variable)
    if named:
        return Path(named)
    return Path("C:/ProgramData") if variable == "ProgramData" else home() / "AppData" / "Local"
