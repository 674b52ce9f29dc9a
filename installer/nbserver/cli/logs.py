"""logs: what notebook servers have logged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nbserver.cli.options import approved_option, asker, command_line, run_options
from nbserver.cli.output import Output

MOST_LINES = 10_000  # as in run/log_request.py, which takes too long to import


@click.command()
@run_options
@approved_option
@click.option("-f", "--follow", is_flag=True, help="Show new lines as they are written, until Ctrl-C.")
@click.option(
    "--since",
    metavar="TIME",
    help="Show only lines since this time: 30m, 2h, or 1d ago, or a time such as 2026-11-29T14:00 (local time if it has no time zone).",
)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(1, MOST_LINES),
    metavar="NUMBER",
    help=f"Number of lines to show from the end of each host's log (default: 100; with --since, {MOST_LINES:,}).",
)
def logs(
    hosts: tuple[str, ...], inventory_path: Path, output: Output, follow: bool, since: str | None, lines: int | None, **given: Any
) -> int:
    """Show the logs of notebook servers

    Reads the journal of systemd, or the server's log file where there is no journal, as on Windows. Nothing is changed. Login
    tokens and passwords in the log are masked on the host. With several hosts, each line begins with the name of its host.
    """
    from nbserver.commands import logs as found
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    began = found.time_of(since) if since else None
    loaded = reader.load_for(inventory_path, hosts)
    options = Options(command=command_line(), **given)
    view = replace(output, quiet=not output.as_json and not output.verbose).view()
    wanted = found.Wanted(lines or (MOST_LINES if since else found.LINES), began, follow, output.as_json)
    return found.logs(wanted, loaded, loaded.select(hosts), options, asker(), view)
