"""restart and stop: commands for servers that are set up. They change nothing that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nbserver.cli.options import approved_option, asker, command_line, run_options
from nbserver.cli.output import Output


@click.command()
@run_options
@approved_option
def restart(hosts: tuple[str, ...], inventory_path: Path, output: Output, **given: Any) -> int:
    """Restart notebook servers, or start stopped ones

    The server starts as it is installed: what differs from the inventory stays as it is. Kernels end, and unsaved changes
    are lost. The command waits until the server presents its certificate and refuses requests without the password.
    """
    from nbserver.commands import servers
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    loaded = reader.load_for(inventory_path, hosts)
    options = Options(command=command_line(), **given)
    return servers.run("restart", loaded, loaded.select(hosts), options, asker(), output.view())


@click.command()
@run_options
@approved_option
def stop(hosts: tuple[str, ...], inventory_path: Path, output: Output, **given: Any) -> int:
    """Stop notebook servers

    Kernels end, and unsaved changes are lost. A server stays stopped, also when its host restarts, until nbserver restart or
    nbserver apply starts it again. Until then, nbserver plan shows a difference.

    For local alone, no script runs, and the options about runs have no effect: the server of this machine is stopped until
    nbserver restart local, nbserver apply local, or, if it is a unit of systemd, the next start of this machine.
    """
    from nbserver.inventory import reader

    loaded = reader.load_for(inventory_path, hosts)
    if hosts == ("local",):
        from nbserver.commands import status

        return status.stop(loaded.local, as_json=output.as_json)
    from nbserver.commands import servers
    from nbserver.run.options import Options

    options = Options(command=command_line(), **given)
    return servers.run("stop", loaded, loaded.select(hosts), options, asker(), output.view())
