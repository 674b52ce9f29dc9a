"""The interface that shows a run's progress and result. The package view implements it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from nbserver.events.reader import Event
from nbserver.run.result import Result


class View(Protocol):
    """Shows a run. Several threads call its methods while hosts run."""

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None: ...
    def event(self, host: str, event: Event) -> None: ...
    def host_ended(self, result: Result) -> None: ...
    def interrupted(self) -> None: ...
    def end(self) -> None: ...
    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None: ...


@runtime_checkable
class ShowsBegin(Protocol):
    """A view that also shows when the run of a host begins. The others need not know."""

    def host_began(self, host: str) -> None: ...


def began(view: object, host: str) -> None:
    """Show that the run of a host begins, if the view shows that. Never raises."""
    if isinstance(view, ShowsBegin):
        with suppress(Exception):  # a closed terminal must not change the run
            view.host_began(host)
