"""Choose how a run is shown: as JSON lines, a live view, or plain lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nbserver.view.json_lines import JsonLines
from nbserver.view.plain_lines import PlainLines

if TYPE_CHECKING:
    from nbserver.run.view import View


def choose(as_json: bool) -> View:
    """Return JSON lines if requested, the live view on a terminal, and plain lines otherwise."""
    if as_json:
        return JsonLines()
    if sys.stderr.isatty() and sys.stdout.isatty():
        from nbserver.view.live import LiveView

        return LiveView()
    return PlainLines(click.echo)
