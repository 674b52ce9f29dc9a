"""nbserver lock: the packages of the hosts, resolved."""

from __future__ import annotations

import json
from pathlib import Path

import click

from nbserver.base.standard_streams import require_written, say, warn
from nbserver.cli.options import asker, optional_hosts_and_inventory
from nbserver.cli.output import object_option


def _silent(text: str) -> None:
    """Show nothing: the answer is JSON."""


def _shown(text: str) -> None:
    say(text, err=True)


@click.command("lock")
@optional_hosts_and_inventory
@click.option("--upgrade", "upgrades", multiple=True, metavar="PACKAGE", help="Package to upgrade; can be repeated.")
@click.option("--upgrade-all", is_flag=True, help="Upgrade all packages.")
@click.option("--check", is_flag=True, help="Write nothing; exit with code 4 if a lock would change.")
@object_option
def lock(hosts: tuple[str, ...], inventory_path: Path, upgrades: tuple[str, ...], upgrade_all: bool, check: bool, as_json: bool) -> int:
    """Resolve the packages of hosts into locks

    Writes one lock per system, processor, and Python of the hosts (default: all hosts), and shows each version that changes.
    Versions stay the same until you upgrade a package. No host is contacted.
    """
    from nbserver.catalog.resolver import uv
    from nbserver.commands import lock as locking
    from nbserver.inventory import reader

    loaded = reader.load_for(inventory_path, hosts) if hosts else reader.load(inventory_path)
    selected = loaded.select(hosts) if hosts else [*loaded.hosts.values(), *([loaded.local] if loaded.local else [])]
    found = locking.jobs(selected, asker())
    written = locking.run(
        found,
        upgrades,
        upgrade_all=upgrade_all,
        uv=uv.find(),
        date=locking.today(),
        progress=_silent if as_json else _shown,
    )
    for one in written:
        if one.warning:
            warn(one.warning)
    if not check:
        locking.write(written)
    answer = {"event": "locked", "check": check, "locks": [one.as_json() for one in written]}
    for line in [json.dumps(answer)] if as_json else locking.lines(written, check=check):
        say(line)
    require_written()
    return 4 if check and any(one.text is not None for one in written) else 0
