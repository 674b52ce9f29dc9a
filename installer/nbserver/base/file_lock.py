"""One process at a time does something with a file: a lock that ends with its owner, however that ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Seconds: how often a lock that is taken is tried again.
PAUSE = 0.05


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Holds the lock of `path`: a lock of the system on `.NAME.lock` beside it, which is removed afterwards.

    Waits `seconds` at most for others. Raises TimeoutError then, another OSError where there can be no such file.
    """
    name = path.with_name(f".{path.name}.lock")
    until = time.monotonic() + seconds
    while (descriptor := _attempt(name)) is None:
        if time.monotonic() > until:
            raise TimeoutError(f"another process holds {name}")
        time.sleep(PAUSE)
    try:
        yield
    finally:
        if sys.platform == "win32":
            os.close(descriptor)
            with suppress(OSError):  # another one has it open by now, and removes it
                name.unlink()
        else:
            with suppress(FileNotFoundError):
                name.unlink()  # while it is held: who waits for it sees that it is gone
            os.close(descriptor)


def _attempt(name: Path) -> int | None:
    """The open and locked file, or None where another process has it."""
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    except PermissionError:
        if sys.platform == "win32" and name.exists():  # it is just being removed
            return None
        raise
    try:
        if _lock(descriptor) and _is(descriptor, name):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(descriptor: int, name: Path) -> bool:
    """Whether the name still is the file that was locked: its owner may have removed it in between."""
    try:
        return os.path.samestat(os.fstat(descriptor), name.stat())
    except FileNotFoundError:
        return False
