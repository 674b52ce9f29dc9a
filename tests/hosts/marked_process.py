"""Finding and ending everything that one `Popen` started under Wine.

Wine's processes are no children of ours: they are re-parented to init, often in a session of their own, and `pwsh.exe`
starts itself once more to have a console. So what belongs together carries a mark in its environment.
"""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Iterator, Mapping

MARK = "NBSERVER_TEST_MARK"
WINE_OWN = re.compile(
    rb"wineserver|\\(services|winedevice|plugplay|svchost|rpcss|explorer|wineboot|winemenubuilder|conhost)\.exe", re.I
)


def marked(environment: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """The environment with a mark of its own, and the mark as it stands in /proc/PID/environ."""
    value = uuid.uuid4().hex
    return {**environment, MARK: value}, f"{MARK}={value}".encode()


def _carriers(mark: bytes) -> Iterator[int]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark not in file.read():
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if not WINE_OWN.search(file.read()):
                    yield int(pid)
        except OSError:
            continue


def alive(mark: bytes) -> bool:
    """True while a process that carries the mark is running (Wine's own services do not count)."""
    return next(_carriers(mark), None) is not None


def kill_marked(mark: bytes) -> None:
    """Kills what carries the mark, but for Wine's own services, which other sessions of the same Windows may be using."""
    for _ in range(20):  # a process may be starting another while we look
        pids = list(_carriers(mark))
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
