"""A lock that gives one process at a time access to a file. It is released when its owner exits, however it exits."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nbserver.base.existing import exists

# Seconds between attempts to get a lock.
PAUSE = 0.05


def beside(path: Path) -> Path:
    """Return the file that is locked: `.NAME.lock`, next to `path`."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock of `path`: a system lock on the file `beside` it, which is removed afterwards.

    Waits for other processes for up to `seconds`, then raises TimeoutError. Raises another OSError if the file cannot be created.
    """
    name = beside(path)
    until = time.monotonic() + seconds
    while (descriptor := _attempt(name)) is None:
        if time.monotonic() > until:
            raise TimeoutError(errno.EAGAIN, "another process has locked it", str(name))
        time.sleep(PAUSE)
    try:
        yield
    finally:
        if sys.platform == "win32":
            os.close(descriptor)
            with suppress(OSError):  # another process has opened it meanwhile, and removes it
                name.unlink()
        else:
            with suppress(OSError):  # it is another user's in a folder with the sticky bit, and stays
                name.unlink()  # while the lock is held: waiting processes notice that it is gone
            os.close(descriptor)


def _attempt(name: Path) -> int | None:
    """Return the open and locked file, or None if another process holds it."""
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    except PermissionError:
        if sys.platform == "win32":
            if exists(name):  # it is being removed
                return None
            raise
        descriptor = _of_another_user(name)
    try:
        if _lock(descriptor) and _is(descriptor, name):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _of_another_user(name: Path) -> int:
    """Return the file that another user's process has, or has left when it was killed. To read it is enough for a lock."""
    try:
        return os.open(name, os.O_RDONLY)
    except FileNotFoundError:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


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
    """Return whether the path still is the locked file: its previous owner may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), name.stat())
    except FileNotFoundError:
        return False
