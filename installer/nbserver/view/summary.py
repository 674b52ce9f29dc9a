"""The summary at the end of a run: a line for each host, its error, and the folder with the run's files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nbserver.run.result import Result


COLORS = {
    "changed": "yellow",
    "differs": "yellow",
    "difference": "yellow",
    "restored": "yellow",
    "failed": "red",
    "unreachable": "red",
    "stopped": "red",
    "reboot": "red",
    "warning": "magenta",
    "ok": "green",
}
WORDS = {
    "ok": "up to date",
    "differs": "run nbserver apply to make the changes",
    "reboot": "Windows must restart first",
    "stopped": "run the command again to continue",
}
FAILED = ("failed", "unreachable")
STOPPING = "Stopping: hosts are undoing temporary changes. Press Ctrl-C again to quit now."


def summary_lines(mode: str, results: Mapping[str, Result], folder: Path, shown: Collection[str] = ()) -> list[str]:
    """Return one line per host, its error below it, and the folder with the run's files.

    `shown` are the errors that were shown as events. With a single host, that line is close, and the error is not repeated.
    """
    width = max(map(len, results), default=0)
    lines = []
    for name, result in results.items():
        said = click.style(result.outcome, fg=COLORS.get(result.outcome))
        changed = ", number of changes unknown" if result.changed is None else f", {result.changed} changed" if result.changed else ""
        reboot = ", reboot pending" if result.reboot and result.outcome != "reboot" else ""
        words = f" ({result.error_kind})" if result.outcome in FAILED else f"  {WORDS.get(result.outcome, '')}"
        if mode == "undo" and result.outcome == "ok":
            words = "  previous state restored"
        if mode == "rotate" and result.outcome == "ok":
            words = "  earlier users evicted"
        if mode == "events":
            words = "  the run has finished" if result.outcome == "ok" else ""
        if mode == "request" and result.outcome == "ok":
            words = "  certificate request ready to be signed"
        took = f", {_duration(result.seconds)}" if result.seconds is not None else ""
        lines.append(f"{name:<{width}}  {said}{words}{changed}{reboot}{took}")
        if result.error and not (len(results) == 1 and result.error in shown):
            lines.append(f"    {result.error}")
    return [*lines, f"Scripts, events, and logs are in {folder}"]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
