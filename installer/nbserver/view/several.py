"""Show a run in several ways at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbserver.events.reader import Event
    from nbserver.run.result import Result
    from nbserver.run.view import View


class Several:
    """Passes each call to all views. One that fails does not keep the others from showing it."""

    def __init__(self, *views: View) -> None:
        self._views = views

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        self._each(lambda view: view.begin(mode, steps))

    def host_began(self, host: str) -> None:
        self._each(lambda view: view.host_began(host))

    def event(self, host: str, event: Event) -> None:
        self._each(lambda view: view.event(host, event))

    def host_ended(self, result: Result) -> None:
        self._each(lambda view: view.host_ended(result))

    def interrupted(self) -> None:
        self._each(lambda view: view.interrupted())

    def end(self) -> None:
        self._each(lambda view: view.end())

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        self._each(lambda view: view.summary(mode, results, folder))

    def _each(self, show: Callable[[View], None]) -> None:
        for view in self._views:
            with suppress(Exception):
                show(view)
