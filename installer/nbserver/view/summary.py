"""The summary at the end of a run: a line for each host, its error, and where everything is kept."""

from __future__ import annotations

from collections.abc import Mapping
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
    "stopped": "red",
    "reboot": "red",
    "warning": "magenta",
    "ok": "green",
}
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
