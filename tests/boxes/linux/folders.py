"""Folders that may have file systems mounted below them, and locks on files."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def mounts_below(folder: Path) -> list[str]:
    """Where file systems are mounted at or below a folder, the last one first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[4])
        if Path(point).is_relative_to(folder):
            found.append(point)
    return found[::-1]


def remove(folder: Path) -> None:
    """Unmounts what is mounted below a folder, then removes it. Raises CalledProcessError when something is in use."""
    for point in mounts_below(folder.resolve()):
        subprocess.run(["umount", point], check=True, capture_output=True, text=True)
    if left := mounts_below(folder.resolve()):
        raise RuntimeError(f"{folder} is not removed: still mounted are {left}")
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds the lock file, and holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def take(path: Path) -> IO[str] | None:
    """The lock file, held until it is closed or this process ends; None when another process holds it."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
