"""resume: continue a run that stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nbserver.cli.engine import engine_options
from nbserver.cli.evidence import evidence_key_option
from nbserver.cli.options import approved_option, asker, command_line, inventory_option, known_option, runs_option, salt_option
from nbserver.cli.output import Output, output_options


@click.command()
@click.argument("run", required=False)
@inventory_option
@runs_option
@output_options
@known_option
@evidence_key_option
@click.option(
    "--forks", type=click.IntRange(1, 500), metavar="NUMBER", help="Number of hosts to process in parallel (default: that of the run)."
)
@engine_options(default=None)
@approved_option
@salt_option
def resume(run: str | None, inventory_path: Path, runs: Path | None, output: Output, **given: Any) -> int:
    """Continue a run that stopped

    Continues plan, apply, or undo on the hosts where it has not finished, with the same scripts and options. Use it after
    nbserver was killed or interrupted, or when hosts were unreachable. A script that is still running is followed. The default for
    RUN is the newest run that did not finish.
    """
    from nbserver.commands import addresses
    from nbserver.commands import resume as resumed
    from nbserver.run.result import exit_code

    wanted = {**given, "place": given["place"] or None, "command": command_line()}
    past, hosts, results = resumed.resume(inventory_path, run, runs, wanted, asker(), output.view())
    if past.mode == "apply" and output.for_a_person and hosts:
        addresses.show_addresses(hosts, results, [host.name for host in hosts])
    return exit_code(results)
