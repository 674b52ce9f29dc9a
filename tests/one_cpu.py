"""Each worker of pytest-xdist on one CPU, with everything that its tests start.

A call of Windows in a box is a message to Wine's server and its answer. Between two CPUs each of them wakes up a CPU; on one
CPU the same test takes a quarter less time of the processor, and ends earlier.
"""

from __future__ import annotations

import os
from collections.abc import Collection


def cpu_of(worker: str, cpus: Collection[int]) -> int:
    """The CPU of a worker (gw0, gw1, ...): one after the other."""
    ordered = sorted(cpus)
    return ordered[int(worker.removeprefix("gw")) % len(ordered)]


def stay(worker: str) -> None:
    """From now on this process, and what it starts, runs on the worker's CPU; Linux only."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu_of(worker, os.sched_getaffinity(0))})
