"""What a person, or another program, sees of a run: plain lines, JSON lines, or a live view on a terminal."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from nbserver.events.reader import Event
from nbserver.run.journal import describe

if TYPE_CHECKING:
    from nbserver.run.host_run import Result

COLORS = {
    "changed": "yellow",
    "differs": "yellow",
    "difference": "yellow",
    "restored": "yellow",
    "failed": "red",
    "stopped": "red",
    "reboot": "red",
    "warning": "magenta",
    "ok": "green",
}
QUIET = frozenset({"log", "progress", "finished"})


class View(Protocol):
    """Called from several threads while hosts run."""

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None: ...
    def event(self, host: str, event: Event) -> None: ...
    def host_ended(self, result: Result) -> None: ...
    def interrupted(self) -> None: ...
    def end(self) -> None: ...
    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None: ...


def choose(as_json: bool) -> View:
    """JSON when asked for, the live view on a terminal, plain lines otherwise."""
    if as_json:
        return JsonLines()
    if sys.stderr.isatty() and sys.stdout.isatty():
        from nbserver.view.live import LiveView

        return LiveView()
    return PlainLines(click.echo)


class PlainLines:
    """One line an event that says something new: `win1  packages  changed`."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._width = 0

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        self._width = max(map(len, steps), default=0)

    def event(self, host: str, event: Event) -> None:
        if event.event in QUIET or (event.event == "started" and not event.step):
            return
        said = click.style(f"{event.event:<10}", fg=COLORS.get(event.event))
        self._write(f"{host:<{self._width}}  {event.step:<11} {said} {describe(event)}".rstrip())

    def host_ended(self, result: Result) -> None:
        if result.outcome == "failed" and not result.steps:
            self._write(f"{result.host:<{self._width}}  {'':<11} {click.style('failed', fg='red')}")

    def interrupted(self) -> None:
        click.echo("stopping: the hosts put back what is open; once more Ctrl-C leaves at once", err=True)

    def end(self) -> None:
        pass

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        self._write("")
        for line in summary_lines(mode, results, folder):
            self._write(line)


class JsonLines:
    """One JSON object a line on standard output; the last one is the summary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        pass

    def event(self, host: str, event: Event) -> None:
        self._write({"host": host} | event.as_json() | {"host": host})  # the first of its keys, and never what the event says

    def host_ended(self, result: Result) -> None:
        pass

    def interrupted(self) -> None:
        pass

    def end(self) -> None:
        pass

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        hosts = {name: result.as_json() for name, result in results.items()}
        self._write({"event": "summary", "runs": str(folder), "hosts": hosts})

    def _write(self, value: Mapping[str, object]) -> None:
        with self._lock:
            click.echo(json.dumps(value, ensure_ascii=True, allow_nan=False))  # no character of it does anything to a terminal


WORDS = {
    "ok": "as it should be",
    "differs": "differs; nbserver apply would change it",
    "failed": "failed",
    "reboot": "has to restart first",
    "stopped": "stopped; run it again to go on",
}


def summary_lines(mode: str, results: Mapping[str, Result], folder: Path) -> list[str]:
    """A line a host, its error below it, and where everything is kept."""
    width = max(map(len, results), default=0)
    lines = []
    for name, result in results.items():
        said = click.style(result.outcome, fg=COLORS.get(result.outcome))
        changed = f", {result.changed} changed" if result.changed else ""
        reboot = ", a reboot is pending" if result.reboot and result.outcome != "reboot" else ""
        words = "" if result.outcome == "failed" else f"  {WORDS.get(result.outcome, '')}"
        if mode == "undo" and result.outcome == "ok":
            words = "  as it was before"
        if mode == "request" and result.outcome == "ok":
            words = "  its request is to be signed"
        lines.append(f"{name:<{width}}  {said}{words}{changed}{reboot}")
        if result.error:
            lines.append(f"    {result.error}")
    return [*lines, f"kept in {folder}"]
