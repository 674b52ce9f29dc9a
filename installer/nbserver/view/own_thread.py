"""Show a run in a separate thread, so that no host waits for a terminal or a pipe that takes no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from nbserver.base.standard_streams import results_are_in

if TYPE_CHECKING:
    from nbserver.events.reader import Event
    from nbserver.run.result import Result
    from nbserver.run.view import View

POLL = 0.1  # seconds; on Windows, an unlimited wait cannot be interrupted with Ctrl-C
END = 0.5  # seconds for a live view to restore the terminal, even if it cannot be written


class OwnThread:
    """A view whose methods return at once, except `summary`, which waits until everything has been shown."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        threading.Thread(target=self._work, name="view", daemon=True).start()

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        self._calls.put(partial(self._view.begin, mode, steps))

    def host_began(self, host: str) -> None:
        self._calls.put(partial(self._view.host_began, host))

    def event(self, host: str, event: Event) -> None:
        self._calls.put(partial(self._view.event, host, event))

    def host_ended(self, result: Result) -> None:
        self._calls.put(partial(self._view.host_ended, result))

    def interrupted(self) -> None:
        self._calls.put(self._view.interrupted)

    def end(self) -> None:
        self._calls.put(self._view.end)
        self._done().wait(END)

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        results_are_in(folder)
        self._calls.put(partial(self._view.summary, mode, results, folder))
        done = self._done()
        while not done.wait(POLL):
            pass

    def _done(self) -> threading.Event:
        done = threading.Event()
        self._calls.put(done.set)
        return done

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            with suppress(Exception):  # showing a run is not the run
                call()
