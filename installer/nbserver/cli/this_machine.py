"""up: the command for the notebook server on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nbserver.cli.evidence import evidence_key_option
from nbserver.cli.options import approved_option, asker, command_line, known_option, optional_inventory_option
from nbserver.cli.output import Output, output_options
from nbserver.cli.warnings import show_warnings

runs_of_local_option = click.option(
    "--runs",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder where runs are stored (default: nbserver-runs next to the inventory; without one, in ~/.local/state or %LOCALAPPDATA%).",
)


@click.command()
@optional_inventory_option
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="NUMBER",
    help="TCP port of the server (default: the port of the existing server, or the first free port starting at 9999).",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder for the notebooks; created if it does not exist (default: the folder of the existing server, "
    "or notebooks in your home folder).",
)
@click.option("--open", "opens", is_flag=True, help="Open the notebook server in your browser when it is ready.")
@click.option("--trust", is_flag=True, help='Make your browsers trust the certificate until you run undo; requires scope = "user".')
@evidence_key_option
@runs_of_local_option
@known_option
@output_options
@approved_option
def up(
    inventory_path: Path,
    port: int | None,
    directory: Path | None,
    opens: bool,
    trust: bool,
    evidence_key: Path | None,
    runs: Path | None,
    known: Path | None,
    output: Output,
    **approval: Any,
) -> int:
    """Set up a notebook server on this machine and test it

    Does the same as apply local followed by verify local. By default, the server belongs to you alone: it needs no root or
    administrator rights, changes nothing outside your home folder, and does not accept connections from other machines. If you
    run this command as root on a machine with systemd, the server is a system service with its own user.

    The port and folder are kept until you set them again. With [hosts.local] in an inventory, the inventory sets both.
    """
    from nbserver.commands import up as local_setup
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    folder = str(directory.expanduser().absolute()) if directory is not None else None
    given = {key: value for key, value in (("port", port), ("directory", folder)) if value is not None}
    loaded = local_setup.with_free_port(reader.load_for(inventory_path, ["local"], given=given))
    show_warnings([loaded.local])
    options = Options(runs=runs, known=known, evidence_key=evidence_key, command=command_line(), **approval)
    return local_setup.up(loaded, options, asker(), output.view(), as_json=output.as_json, quiet=output.quiet, opens=opens, trust=trust)
