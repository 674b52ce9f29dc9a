"""Show a run as plain lines, for a log or a pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.base import folding
from nbserver.base.standard_streams import text_for_reader
from nbserver.events.description import describe, failure
from nbserver.events.reader import Event
from nbserver.language.language import ENGLISH, Language
from nbserver.view.summary import COLORS, FAILED, STOPPING, summary_lines

if TYPE_CHECKING:
    from nbserver.run.result import Result


LONGEST = ("difference", "unchanged", "unreachable", "warning")  # words that the column has room for
QUIET = frozenset({"log", "progress", "finished", "file", "content", "kept"})
QUIET_STATUS = frozenset({*QUIET, "status", "difference", "unchanged"})


class PlainLines:
    """Writes one line for each event with news, such as `win1  packages  changed`, or for each event if `verbose`.

    `say` writes the lines of the summary.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        say: Callable[[str], object] | None = None,
        verbose: bool = False,
        language: Language = ENGLISH,
    ) -> None:
        self._write = write
        self._say = say or write
        self._verbose = verbose
        self._language = language
        self._word_width = 10 if language is ENGLISH else max(folding.width(language.word(word)) for word in LONGEST)
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
        word = folding.padded(self._language.word(event.event), self._word_width)
        said = click.style(word, fg=COLORS.get(event.event))
        self._write(f"{host:<{self._width}}  {event.step:<11} {said} {describe(event, self._language)}".rstrip())

    def host_ended(self, result: Result) -> None:
        if result.outcome in FAILED and not result.steps:
            self._write(f"{result.host:<{self._width}}  {'':<11} {click.style(self._language.word(result.outcome), fg='red')}")

    def interrupted(self) -> None:
        click.echo(text_for_reader(STOPPING), err=True)

    def end(self) -> None:
        pass

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        self._say("")
        for line in summary_lines(mode, results, folder, self._failed, language=self._language):
            self._say(line)
