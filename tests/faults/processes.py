"""The installers that run on a Windows in a box, as /proc shows them: seen as they come, held where a test says."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

# argv, its parts joined with a space, of what may run once at a time.
KINDS = {"uv": re.compile(rb"\\uv\.exe pip install ", re.I), "msi": re.compile(rb"msiexec(\.exe)? /i ", re.I)}
PAUSE = 0.02  # seconds between two looks
FORK = 0.5  # a process that is gone sooner was one of Wine's, on its way to become another program: it bears its parent's name


class Installers:
    """Watches from the start until `close`. `seen` maps a kind to its processes: pid -> first and last look (time.time)."""

    def __init__(self, prefix: Path) -> None:
        self._mark = f"WINEPREFIX={prefix}\0".encode()
        self.seen: dict[str, dict[int, list[float]]] = defaultdict(dict)
        self.held: int | None = None
        self._to_hold = ""
        self._when: Callable[[], bool] = lambda: True
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def forget(self) -> None:
        """What was seen so far."""
        self.seen.clear()

    def runs(self, kind: str) -> list[tuple[float, float]]:
        """When each installer of a kind ran: first and last look, by their first."""
        return sorted((first, last) for first, last in self.seen[kind].values() if last - first > FORK)

    def hold(self, kind: str, when: Callable[[], bool]) -> None:
        """The next process of this kind is stopped (SIGSTOP) as soon as it is seen and `when` is true; it is `held` then."""
        self._to_hold, self._when = kind, when

    def go_on(self) -> None:
        """Lets the one that is held go on, if it still lives."""
        self._to_hold = ""
        if self.held is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.held, signal.SIGCONT)
        self.held = None

    def _watch(self) -> None:
        while not self._end.wait(PAUSE):
            found = self._look()
            for kind, pids in found.items():
                for pid in pids:
                    self.seen[kind].setdefault(pid, [time.time(), 0.0])[1] = time.time()
            if self._to_hold in found and self._when():
                self.held = found[self._to_hold][0]
                self._to_hold = ""
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.held, signal.SIGSTOP)

    def _look(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                kind = next((kind for kind, pattern in KINDS.items() if pattern.search(words)), None)
                if kind and self._mark in (process / "environ").read_bytes() + b"\0":
                    found.setdefault(kind, []).append(int(process.name))
        return found

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self.go_on()
