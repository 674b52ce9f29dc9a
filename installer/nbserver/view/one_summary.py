"""Show several runs, one after the other, as one: with a single summary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbserver.events.reader import Event
    from nbserver.run.result import Result
    from nbserver.run.view import View


class OneSummary:
    """Passes everything on to another view, except for the summaries of the single runs."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._folder: Path | None = None

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        self._view.begin(mode, dict.fromkeys(steps, ()))

    def event(self, host: str, event: Event) -> None:
        self._view.event(host, event)

    def host_began(self, host: str) -> None:
        self._view.host_began(host)

    def host_ended(self, result: Result) -> None:
        self._view.host_ended(result)

    def interrupted(self) -> None:
        self._view.interrupted()

    def end(self) -> None:
        self._view.end()

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        self._folder = folder

    def show(self, mode: str, results: Mapping[str, Result]) -> None:
        """Show the summary of all runs."""
        if self._folder is not None:
            self._view.summary(mode, results, self._folder)


class BeforeRun(OneSummary):
    """Shows runs that prepare another one. If a host fails, the run that follows shows it."""

    def host_ended(self, result: Result) -> None:
        if result.outcome == "ok":
            super().host_ended(result)
