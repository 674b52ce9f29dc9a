"""nbserver hosts: a command that lists hosts of the inventory."""

from __future__ import annotations

from pathlib import Path

import click

from nbserver.base.standard_streams import require_written, say
from nbserver.cli.options import hosts_and_inventory
from nbserver.cli.output import json_option


@click.command("hosts")
@hosts_and_inventory
@click.option("--listed", is_flag=True, help="Only hosts from hosts_from or hosts_command.")
@json_option
def list_hosts(hosts: tuple[str, ...], inventory_path: Path, listed: bool, as_json: bool) -> int:
    """List the hosts that a pattern selects

    Shows name, system, address, and groups. No host is contacted. With --json, the output can be saved as a file for hosts_from.
    """
    from nbserver.commands import listing
    from nbserver.inventory import reader

    loaded = reader.load_for(inventory_path, hosts)
    selected = [host for host in loaded.select(hosts) if not listed or host.name in loaded.listed]
    for line in listing.as_json(loaded, selected) if as_json else listing.table(loaded, selected):
        say(line)
    require_written()
    return 0
