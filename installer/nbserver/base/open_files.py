"""The number of files that the system allows this process to have open: 256 on macOS, 1024 on Linux, unless it asks for more."""

from __future__ import annotations

import sys


def at_a_time(wanted: int, *, each: int, others: int) -> int:
    """Return how many of the wanted things can be in use at a time, at least one, if `each` of them has that many files open.

    Raises the soft limit of this process for them if necessary. `others` are the further files that the process has open.
    """
    allowed = _allowed(each * wanted + others)
    return wanted if allowed is None else max(1, min(wanted, (allowed - others) // each))


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
