"""One control group a host: systemds that start in the same one mix up their services, and a group can be ended as a whole."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def folders(name: str) -> list[Path]:
    """The folder of a control group in each hierarchy that systemd uses (hybrid: two; unified: one)."""
    hybrid = [ROOT / hierarchy / name for hierarchy in ("systemd", "unified") if (ROOT / hierarchy).is_dir()]
    return hybrid or [ROOT / name]


def command_in(name: str, *command: str) -> list[str]:
    """Makes the control group and gives the command that starts `command` in it; it ends (SIGTERM) with the calling thread."""
    joined = ""
    for folder in folders(name):
        folder.mkdir(exist_ok=True)
        joined += f"echo $$ >{folder}/cgroup.procs; "
    return ["setpriv", "--pdeathsig", "TERM", "sh", "-c", joined + 'exec "$@"', "sh", *command]


def _below(name: str) -> Iterator[Path]:
    """The folders of a control group, the innermost first."""
    for top in folders(name):
        for path, _, _ in os.walk(top, topdown=False):
            yield Path(path)


def processes(name: str) -> set[int]:
    found: set[int] = set()
    for folder in _below(name):
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
    return found - {0}


def end(name: str) -> None:
    """Kills what is left in a control group and removes it. Nothing happens where there is none. Raises TimeoutError."""
    deadline = time.monotonic() + 120
    while pids := processes(name):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of {name} cannot be killed: {sorted(pids)}")
        time.sleep(0.02)
    while remaining := list(_below(name)):
        for folder in remaining:
            with contextlib.suppress(OSError):  # a process that was killed just now may still count
                folder.rmdir()
        if time.monotonic() > deadline:
            raise TimeoutError(f"the control group {name} cannot be removed")
        time.sleep(0.01)
