"""The lock of a run directory: whoever writes a run holds it, until its process has ended, however that ends."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from nbserver.base import file_lock
from nbserver.base.errors import UsageError


def hold(folder: Path, stack: ExitStack) -> None:
    """Hold the lock of a run directory, a file next to it, until `stack` is closed. Raises UsageError if another process holds it."""
    if not attempt(folder, stack):
        raise UsageError(
            "run-still-going",
            "the run {run} is still in progress on this workstation",
            todo="Wait for it to finish, or stop it with Ctrl-C",
            run=folder.name,
        )


def attempt(folder: Path, stack: ExitStack) -> bool:
    """Hold the lock as `hold` does, and return True, or return False if another process holds it. Raises UsageError."""
    try:
        stack.enter_context(file_lock.locked(folder, 0))
    except TimeoutError:
        return False
    except OSError as error:
        raise UsageError(
            "run-not-locked",
            "could not create the lock file of the run {run} ({reason})",
            where=str(folder.parent),
            todo="Choose another folder with --runs",
            run=folder.name,
            reason=error.strerror,
        ) from None
    return True
