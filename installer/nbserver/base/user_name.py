"""The name of the user who runs nbserver."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """Return the name of this user. One without a name has a number, as in a container that runs with --user 12345."""
    return _known() or (str(os.getuid()) if os.name == "posix" else "unknown")


def name_user() -> None:
    """Give a user without a name one in the environment of this process, which libraries read."""
    if not _known():
        os.environ["LOGNAME"] = user_name()


def _known() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
