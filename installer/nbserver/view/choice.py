"""Choose how a run is shown: as JSON lines, a live view, or plain lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nbserver.base.standard_streams import say
from nbserver.view.json_lines import JsonLines
from nbserver.view.own_thread import OwnThread
from nbserver.view.plain_lines import PlainLines

if TYPE_CHECKING:
    from nbserver.run.view import View


def choose(as_json: bool) -> View:
    """Return JSON lines if requested, the live view on a terminal, and plain lines otherwise."""
    if as_json:
        return OwnThread(JsonLines())
    if all(stream is not None and stream.isatty() for stream in (sys.stderr, sys.stdout)):
        from nbserver.view.live import LiveView

        return OwnThread(LiveView())
    return OwnThread(PlainLines(click.echo, say))
