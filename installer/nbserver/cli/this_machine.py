"""up, status, stop and set-password: commands for the notebook server of this machine."""

from __future__ import annotations

from pathlib import Path

import click

from nbserver.cli.options import asker, optional_inventory_option


@click.command()
@optional_inventory_option
@click.option("--runs", type=click.Path(path_type=Path), help="Where runs are kept.")
def up(inventory_path: Path, runs: Path | None) -> int:
    """Set up a notebook server on this machine, check it as a browser does, and say where it is.

    The same as apply local and verify local. Without more words it belongs to you alone: no rights of root or an administrator,
    nothing outside of your home folder, and no other machine gets in. Run by root, it is the machine's: a service with a user of
    its own, where systemd runs the machine.
    """
    from nbserver.commands import up as local_setup
    from nbserver.inventory import reader
    from nbserver.view import choice

    return local_setup.up(reader.load_for(inventory_path, ["local"]), runs, asker(), choice.choose(False))


@click.command("set-password")
@click.argument("host", type=click.Choice(["local"]))
@optional_inventory_option
@click.option("--runs", type=click.Path(path_type=Path), help="Where runs are kept.")
def set_password(host: str, inventory_path: Path, runs: Path | None) -> int:
    """Give the notebook server of this machine another password: the one that is typed, or else one that is made."""
    from nbserver.commands import up as local_setup
    from nbserver.inventory import reader
    from nbserver.view import choice

    return local_setup.set_password(reader.load_for(inventory_path, [host]), runs, asker(), choice.choose(False))


@click.command()
@click.argument("host", type=click.Choice(["local"]), default="local")
@optional_inventory_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def status(host: str, inventory_path: Path, as_json: bool) -> int:
    """Tell whether the notebook server of this machine runs. Ends with 4 when it is not as it should be."""
    from nbserver.commands.status import status
    from nbserver.inventory import reader

    return status(reader.load_for(inventory_path, [host]).local, as_json=as_json)


@click.command()
@click.argument("host", type=click.Choice(["local"]))
@optional_inventory_option
def stop(host: str, inventory_path: Path) -> int:
    """End the notebook server of this machine; apply local, or up, starts it again."""
    from nbserver.commands.status import stop
    from nbserver.inventory import reader

    return stop(reader.load_for(inventory_path, [host]).local)
