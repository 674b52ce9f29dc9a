"""What a shell or a command has to hand out to the client's Receives."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable

from tests.boxes.winrm.wsman_fault import aborted, timed_out


class Output:
    """A queue of (stream name, bytes) in order, and whether it is done."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.chunks: collections.deque[tuple[str, bytes]] = collections.deque()
        self.done = False
        self.exit_code: int | None = None
        self.gone = False  # the engine died or the shell was deleted: pending Receives abort

    def put(self, name: str, data: bytes) -> None:
        with self.changed:
            self.chunks.append((name, data))
            self.changed.notify_all()

    def finish(self, exit_code: int | None = None) -> None:
        with self.changed:
            self.done = True
            self.exit_code = exit_code
            self.changed.notify_all()

    def abort(self) -> None:
        with self.changed:
            self.gone = True
            self.changed.notify_all()

    def take(self, limit: int, deadline: float, alive: Callable[[], bool]) -> tuple[list[tuple[str, bytes]], bool]:
        """Waits for something and returns at most `limit` bytes of it, and whether that was the end.

        `deadline` is of time.monotonic(). Raises WSManFault (time-out, aborted); ConnectionAbortedError when the client
        has gone while waiting.
        """
        with self.changed:
            while not self.chunks and not self.done and not self.gone:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise timed_out()
                self.changed.wait(min(left, 0.5))
                if not alive():
                    raise ConnectionAbortedError
            if self.gone and not self.chunks:
                raise aborted()
            taken: list[tuple[str, bytes]] = []
            size = 0
            while self.chunks:
                name, data = self.chunks[0]
                if size + len(data) > limit:
                    if not taken:
                        taken.append((name, data[:limit]))
                        self.chunks[0] = (name, data[limit:])
                    break
                self.chunks.popleft()
                taken.append((name, data))
                size += len(data)
            return taken, self.done and not self.chunks
