"""status: how the notebook servers of some hosts are, or the one on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nbserver.cli.language import language
from nbserver.cli.options import approved_option, asker, command_line, run_options_hosts_optional
from nbserver.cli.output import Output


@click.command()
@run_options_hosts_optional
@approved_option
def status(hosts: tuple[str, ...], inventory_path: Path, output: Output, **given: Any) -> int:
    """Show the state of notebook servers, and what differs

    Shows service, versions, certificate, last run, and what differs from the inventory. Nothing is changed. Exits with code 3 if a
    host failed or its server is not running, and with code 4 if something differs.

    Without HOST, or for local alone, shows whether the notebook server of this machine is running, and contacts no host. The
    options about runs, such as --junit, then have no effect, and the exit code is 4 if the server is not running or presents
    a different certificate.
    """
    from nbserver.commands import status as found
    from nbserver.inventory import reader

    loaded = reader.load_for(inventory_path, hosts or ["local"])
    if hosts in ((), ("local",)):
        return found.status(loaded.local, as_json=output.as_json, quiet=output.quiet, language=language())
    from nbserver.run.options import Options

    options = Options(command=command_line(), **given)
    return found.of_hosts(loaded, loaded.select(hosts), options, asker(), output.view())
