"""The live view on a terminal: a progress bar for each host with its current activity, and above the bars what should stay visible."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from nbserver.base.plain_text import clean
from nbserver.base.standard_streams import say
from nbserver.events.description import describe, failure
from nbserver.events.reader import Event
from nbserver.view.summary import COLORS, STOPPING, summary_lines

if TYPE_CHECKING:
    from nbserver.run.result import Result

TOLD = frozenset({"difference", "warning", "failed"})
ENDED = frozenset({"changed", "unchanged"})


class LiveView:
    """Draws on standard error, so that standard output contains only the summary."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.fields[host]}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:>2.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self._console,
        )
        self._bars: dict[str, TaskID] = {}
        self._done: dict[str, set[str]] = {}
        self._told = TOLD
        self._ended = ENDED
        self._planning = False
        self._failed: set[str] = set()

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        self._planning = mode == "test"
        self._told = TOLD if self._planning else TOLD - {"difference"}
        self._ended = ENDED | {"difference"} if self._planning else ENDED
        width = max(map(len, steps), default=0)
        for host, names in steps.items():
            self._bars[host] = self._progress.add_task("Connecting", total=None if mode == "undo" else len(names), host=f"{host:<{width}}")
            self._done[host] = set()
        self._progress.start()

    def event(self, host: str, event: Event) -> None:
        bar = self._bars[host]
        if event.event == "failed":
            self._failed.add(str(failure(host, event)))
        if event.event in self._told:
            line = Text(f"{host}  {event.step:<11} ").append(event.event, COLORS.get(event.event, "default")).append(f" {describe(event)}")
            self._console.print(line)  # a Text, so that nothing in it is taken for markup
        if event.event in self._ended and event.step:
            self._done[host].add(event.step)
        activity = self._activity(event)
        self._progress.update(bar, completed=len(self._done[host]), description=escape(activity[:90]) or None)

    def _activity(self, event: Event) -> str:
        """Return what the host does after this event, or "" if it does what it did before."""
        if event.event == "started":
            return f"Checking: {describe(event)}" if event.step else "Starting"
        if event.event == "difference":
            return "" if self._planning else f"Changing: {clean(str(event.data['what']))}"
        if event.event == "restored":
            return f"Restored: {describe(event)}"
        if event.event == "request":
            return "Sending the certificate request"
        if event.event == "finished":
            return "Waiting for Windows to restart" if event.data.get("restarting") else "Finishing"
        return describe(event) if event.event in ("progress", "log") else ""

    def host_ended(self, result: Result) -> None:
        bar = self._bars[result.host]
        total = self._progress.tasks[bar].total or 1
        done = total if result.outcome in ("ok", "differs") else len(self._done[result.host])
        self._progress.update(bar, total=total, completed=done, description=f"[{COLORS.get(result.outcome, 'default')}]{result.outcome}[/]")
        self._progress.stop_task(bar)

    def interrupted(self) -> None:
        self._console.print(STOPPING)

    def end(self) -> None:
        self._progress.stop()

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        for line in summary_lines(mode, results, folder, self._failed):
            say(line)
