"""Show a run as plain lines, for a log or a pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.events.description import describe, failure
from nbserver.events.reader import Event
from nbserver.view.summary import COLORS, FAILED, STOPPING, summary_lines

if TYPE_CHECKING:
    from nbserver.run.result import Result


QUIET = frozenset({"log", "progress", "finished", "file", "content"})
QUIET_STATUS = frozenset({*QUIET, "status", "difference", "unchanged"})


class PlainLines:
    """Writes one line for each event with news, such as `win1  packages  changed`, or for each event if `verbose`.

    `say` writes the lines of the summary.
    """

    def __init__(self, write: Callable[[str], None], say: Callable[[str], object] | None = None, verbose: bool = False) -> None:
        self._write = write
        self._say = say or write
        self._verbose = verbose
        self._width = 0
        self._quiet = QUIET
        self._failed: set[str] = set()

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        self._width = max(map(len, steps), default=0)
        self._quiet = QUIET_STATUS if mode == "status" else QUIET

    def host_began(self, host: str) -> None:
        pass

    def event(self, host: str, event: Event) -> None:
        if not self._verbose and (event.event in self._quiet or (event.event == "started" and not event.step)):
            return
        if event.event == "failed":
            self._failed.add(str(failure(host, event)))
        said = click.style(f"{event.event:<10}", fg=COLORS.get(event.event))
        self._write(f"{host:<{self._width}}  {event.step:<11} {said} {describe(event)}".rstrip())

    def host_ended(self, result: Result) -> None:
        if result.outcome in FAILED and not result.steps:
            self._write(f"{result.host:<{self._width}}  {'':<11} {click.style(result.outcome, fg='red')}")

    def interrupted(self) -> None:
        click.echo(STOPPING, err=True)

    def end(self) -> None:
        pass

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        self._say("")
        for line in summary_lines(mode, results, folder, self._failed):
            self._say(line)
