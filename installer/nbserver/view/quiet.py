"""Show of a run only which hosts failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.base.standard_streams import text_for_reader
from nbserver.language.language import ENGLISH, Language
from nbserver.view.summary import STOPPING, summary_lines

if TYPE_CHECKING:
    from nbserver.events.reader import Event
    from nbserver.run.result import Result

FINE = frozenset({"ok", "differs"})


class Quiet:
    """Writes nothing, except what failed, at the end."""

    def __init__(self, say: Callable[[str], object], language: Language = ENGLISH) -> None:
        self._say, self._language = say, language

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        pass

    def host_began(self, host: str) -> None:
        pass

    def event(self, host: str, event: Event) -> None:
        pass

    def host_ended(self, result: Result) -> None:
        pass

    def interrupted(self) -> None:
        click.echo(text_for_reader(STOPPING), err=True)

    def end(self) -> None:
        pass

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        failed = {name: result for name, result in results.items() if result.outcome not in FINE or _is_down(result)}
        for line in summary_lines(mode, failed, folder, counted=results, language=self._language) if failed else ():
            self._say(line)


def _is_down(result: Result) -> bool:
    """Return whether a host has reported that its server does not run."""
    return result.status is not None and not result.status.is_running
