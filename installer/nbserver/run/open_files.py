"""How many hosts can run at a time with the open files that the system allows: macOS allows 256, Linux 1024, unless asked for more."""

from __future__ import annotations

import sys

FILES_PER_HOST = 16  # an event loop, sockets, two files of the journal, and what is open for a moment
OTHER_FILES = 128


def hosts_at_a_time(wanted: int) -> int:
    """Return how many of the wanted hosts can run at a time, at least one, and raise the soft limit of this process for them if necessary."""
    allowed = _allowed(FILES_PER_HOST * wanted + OTHER_FILES)
    return wanted if allowed is None else max(1, min(wanted, (allowed - OTHER_FILES) // FILES_PER_HOST))


def _allowed(files: int) -> int | None:
    """Return the number of files that this process may open, after an attempt to make it at least `files`, or None without a limit."""
    if sys.platform == "win32":
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return None
    most = files if hard == resource.RLIM_INFINITY else min(files, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # macOS may allow less than the hard limit says
        return soft
    return most
