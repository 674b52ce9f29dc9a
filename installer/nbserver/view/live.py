"""The live view on a terminal: a line for each host that is active, the counters, and above them what should stay visible."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from nbserver.base import folding
from nbserver.base.standard_streams import say
from nbserver.events.description import describe, failure
from nbserver.language.language import ENGLISH, Language
from nbserver.run import failures
from nbserver.view.error_text import error_text
from nbserver.view.summary import COLORS, FAILED, FEW, STOPPING, summary_lines
from nbserver.view.watched import Watched

if TYPE_CHECKING:
    from nbserver.events.reader import Event
    from nbserver.run.result import Result

PER_SECOND = 4  # how often the lines are drawn again
MOST_LINES = 40  # of hosts and counters, also on a higher terminal
ALIKE = 3  # errors for the same reason that are shown in full while hosts run
CHARACTERS = "\u2501\u2500\u2026"  # what the lines have besides ASCII


class LiveView:
    """Draws on standard error, so that standard output contains only the summary."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic, language: Language = ENGLISH) -> None:
        self._language = language
        self._console = console or Console(stderr=True, highlight=False)
        self._clock = clock
        self._lock = threading.Lock()
        self._watched = Watched("", {}, clock())
        self._live = Live(self, console=self._console, refresh_per_second=PER_SECOND, transient=True, vertical_overflow="crop")
        self._told = {"warning", "failed"}
        self._failed: set[str] = set()
        self._reasons: dict[tuple[str, ...], list[str]] = {}
        self._width = 0

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        if mode == "test" and len(steps) <= FEW:
            self._told.add("difference")
        self._width = min(max(map(len, steps), default=0), 24)
        with self._lock:
            self._watched = Watched(mode, steps, self._clock(), not _has_characters(self._console), self._language)
            if len(steps) == 1:
                self._watched.host_began(next(iter(steps)), self._clock())
        self._live.start(refresh=True)

    def host_began(self, host: str) -> None:
        with self._lock:
            self._watched.host_began(host, self._clock())

    def event(self, host: str, event: Event) -> None:
        if event.event == "failed":
            self._failed.add(str(failure(host, event)))
        if event.event in self._told:
            self._tell(host, event.step, event.event, describe(event, self._language))
        with self._lock:
            self._watched.event(host, event, self._clock())

    def host_ended(self, result: Result) -> None:
        if result.outcome in FAILED and result.error not in self._failed:
            alike = self._reasons.setdefault(failures.reason(result.host, result.error, result.detail), [])
            text = error_text(result, self._language).removeprefix(f"{result.host}: ")
            said = text if len(alike) < ALIKE else self._language.text("like {host}", host=alike[0])
            alike.append(result.host)
            self._tell(result.host, self._language.word(result.error_kind or ""), result.outcome, said)
        with self._lock:
            self._watched.host_ended(result.host, result.outcome)

    def interrupted(self) -> None:
        self._console.print(self._language.render(STOPPING))

    def end(self) -> None:
        self._live.stop()

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        for line in summary_lines(mode, results, folder, self._failed, brief=True, language=self._language):
            say(line)

    def _tell(self, host: str, step: str, what: str, text: str) -> None:
        """Print a line above the others. It is a Text, so that nothing in it is taken for markup."""
        line = Text(f"{host:<{self._width}}  {folding.padded(step, 11)} ")
        line.append(self._language.word(what), COLORS.get(what, "default")).append(f" {text}")
        self._console.print(line, soft_wrap=not self._console.is_terminal)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            lines = self._watched.lines(options.max_width, min(options.size.height - 1, MOST_LINES), self._clock())
        yield from _texts(lines, options.max_width)


def _texts(lines: list[list[tuple[str, str]]], width: int) -> Iterator[Text]:
    for line in lines:
        text = Text(no_wrap=True, end="\n")
        for words, style in line:
            text.append(words, style or None)
        text.truncate(width)  # by columns: some characters of a host are two wide
        yield text


def _has_characters(console: Console) -> bool:
    """Return whether the terminal can show the bars. The fonts of the console of older Windows releases lack them."""
    if console.legacy_windows:
        return False
    try:
        CHARACTERS.encode(console.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
