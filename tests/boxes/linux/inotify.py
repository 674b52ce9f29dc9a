"""This machine's limit of inotify instances, while many hosts in a box are booted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

# A booted host takes seven of these, and Linux gives root 128 of them by default.
INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
OF_A_HOST = 10


@contextlib.contextmanager
def enough_for(hosts: int) -> Iterator[None]:
    """Raises the limit while it is too low for so many hosts, and puts it back."""
    before, needed = int(INSTANCES.read_text()), hosts * OF_A_HOST + 128
    if before < needed:
        INSTANCES.write_text(f"{needed}\n")
    try:
        yield
    finally:
        INSTANCES.write_text(f"{before}\n")
