"""Finding and ending everything that one `Popen` started under Wine.

Wine's processes are no children of ours: they are re-parented to init, often in a session of their own, and `pwsh.exe`
starts itself once more to have a console. So what belongs together carries a mark in its environment.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

MARK = "NBSERVER_TEST_MARK"
WINE_OWN = re.compile(rb"wineserver|\\(services|winedevice|plugplay|svchost|rpcss|explorer|wineboot|winemenubuilder|conhost)\.exe", re.I)


def marked(environment: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """The environment with a mark of its own, and the mark as it stands in /proc/PID/environ."""
    value = uuid.uuid4().hex
    return {**environment, MARK: value}, f"{MARK}={value}".encode()


def carriers(mark: bytes) -> Iterator[int]:
    """The processes that carry the mark; Wine's own services do not count."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            if mark in (process / "environ").read_bytes() and not WINE_OWN.search((process / "cmdline").read_bytes()):
                yield int(process.name)


def alive(mark: bytes) -> bool:
    """True while a process that carries the mark is running (Wine's own services do not count)."""
    return next(carriers(mark), None) is not None


def interrupt_marked(mark: bytes) -> None:
    """Ctrl-C for what carries the mark: Wine makes CTRL_C_EVENT of SIGINT."""
    for pid in carriers(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)


def kill_marked(mark: bytes, but: Collection[int] = ()) -> None:
    """Kills what carries the mark, except the processes `but`, and Wine's own services, which other sessions may be using."""
    for _ in range(20):  # a process may be starting another while we look
        pids = [pid for pid in carriers(mark) if pid not in but]
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
