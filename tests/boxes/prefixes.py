"""Where the Windows of a host in a box are: in memory, where there is enough of it.

A Windows program makes many small files and removes them again, and a file system on a disk takes its time for each of them.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.boxes.virus_scanner import release_below

MEMORY = Path("/dev/shm")
NAME = "nbserver-windows-"
ROOM = 4 << 30  # bytes for each CPU: two Windows at a time with all packages, and as much again for the programs that run


@contextmanager
def prefix_folder(fallback: Path) -> Iterator[Path]:
    """A new folder for a WINEPREFIX, below `fallback` where there is not enough memory; removed afterwards."""
    remove_left()
    folder = Path(tempfile.mkdtemp(prefix=f"{NAME}{os.getpid()}-", dir=MEMORY if is_enough() else fallback))
    try:
        yield folder / "prefix"
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # 700 MB and more


def remove_left() -> None:
    """Removes what runs of the tests that were killed left in memory."""
    for folder in MEMORY.glob(f"{NAME}*"):
        if not Path("/proc", folder.name.removeprefix(NAME).partition("-")[0]).exists():
            release_below(folder)
            shutil.rmtree(folder, ignore_errors=True)


def is_enough(meminfo: Path = Path("/proc/meminfo")) -> bool:
    """Whether there is memory for the Windows of all workers at once."""
    if not meminfo.exists() or not MEMORY.is_dir():
        return False
    total = re.search(r"^MemTotal: +(\d+) kB", meminfo.read_text("ascii"), re.MULTILINE)
    return bool(total) and int(total[1]) << 10 >= ROOM * (os.cpu_count() or 1) and shutil.disk_usage(MEMORY).free >= ROOM * 2
