"""report: the command that shows a run after it. It contacts no host."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from nbserver.base.standard_streams import say
from nbserver.cli.language import language


@click.command()
@click.argument("run")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    required=True,
    metavar="FILE",
    help="HTML file to write, or - for standard output.",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    default=Path("nbserver-runs"),
    show_default=True,
    help="Folder where runs are stored.",
)
@click.option(
    "--before",
    metavar="RUN",
    help="Run to compare with (default: the newest earlier run of the same command with hosts in common).",
)
def report(run: str, output: Path, runs: Path, before: str | None) -> int:
    """Write a page about a run

    RUN is the ID of a run, or its folder. The page shows the hosts and their steps on a timeline, each failure with its log,
    the scripts with their hashes, and what differs from the previous run. It loads nothing from any network.
    """
    from nbserver.commands import report as reporting

    is_default = click.get_current_context().get_parameter_source("runs") is ParameterSource.DEFAULT
    for line in reporting.write(run, None if is_default else runs, before, output, language()):
        say(line)
    return 0
