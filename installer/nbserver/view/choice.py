"""Choose how a run is shown: as JSON lines, a live view, plain lines, or only what failed; and in a log file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.base import folding
from nbserver.base.errors import UsageError
from nbserver.base.standard_streams import say
from nbserver.base.terminal import is_terminal
from nbserver.language.language import ENGLISH, Language
from nbserver.view.json_lines import JsonLines
from nbserver.view.junit import JunitFile
from nbserver.view.log_file import LogFile
from nbserver.view.own_thread import OwnThread
from nbserver.view.plain_lines import PlainLines
from nbserver.view.quiet import Quiet
from nbserver.view.several import Several

if TYPE_CHECKING:
    from nbserver.run.view import View


def choose(
    as_json: bool,
    quiet: bool = False,
    verbose: bool = False,
    log: Path | None = None,
    junit: Path | None = None,
    check: bool = False,
    language: Language = ENGLISH,
) -> View:
    """Return JSON lines if requested, the live view on a terminal, and plain lines otherwise; what failed if `quiet`.

    With `verbose`, plain lines of all events. Of a `check`, the findings are shown. `log` gets all events, too, and `junit` the
    result. Raises UsageError for options that exclude each other, and if a file cannot be written.
    """
    if [as_json, quiet, verbose].count(True) > 1:
        raise UsageError("one-kind-of-output", "--json, --quiet, and --verbose cannot be combined; use only one of these options")
    if log and junit and os.path.realpath(log) == os.path.realpath(junit):
        raise UsageError("log-is-junit", "--log and --junit cannot be the same file", todo="Specify different files with --log and --junit")
    if as_json:
        shown: View = JsonLines()
    elif check:
        shown = _findings(verbose, quiet, language)
    else:
        shown = Quiet(say, language) if quiet else _for_a_person(verbose, language)
    files: list[View] = [*([LogFile(log)] if log else []), *([JunitFile(junit)] if junit else [])]
    return OwnThread(Several(shown, *files) if files else shown)


def _findings(verbose: bool, quiet: bool, language: Language) -> View:
    from nbserver.view.findings import Findings

    return Findings(say, verbose, quiet, language=language)


def _for_a_person(verbose: bool, language: Language) -> View:
    if not verbose and _can_be_drawn_on():
        from nbserver.view.live import LiveView

        return LiveView(language=language)
    return PlainLines(_folded, say, verbose, language)


def _folded(line: str) -> None:
    click.echo(folding.for_stream(line, sys.stdout))


def _can_be_drawn_on() -> bool:
    """Return whether both streams are terminals that can move the cursor."""
    return os.environ.get("TERM") not in ("dumb", "unknown") and all(map(is_terminal, (sys.stderr, sys.stdout)))
