"""export: files for the tools that a site already has. These commands contact no host and need no secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbserver.base.standard_streams import require_written, say
from nbserver.cli.options import hosts_and_inventory
from nbserver.cli.output import object_option
from nbserver.cli.warnings import show_warnings

if TYPE_CHECKING:
    from nbserver.commands.export import Export


@click.group("export")
def export_group() -> None:
    """Write files for other tools, with the script of each host

    Each export carries the bytes that nbserver render writes, and checks their SHA-256 on the host. No file has a secret.
    """


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add HOST..., --inventory, -o, and --json."""
    folder = click.option(
        "-o",
        "--output",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        required=True,
        help="Folder for the files; created if it does not exist.",
    )
    return hosts_and_inventory(folder(object_option(command)))


@export_group.command("azure")
@_common
def azure(hosts: tuple[str, ...], inventory_path: Path, folder: Path, as_json: bool) -> int:
    """Write an Azure template for the machine of each host

    The template creates the virtual machine with its network, and runs the script on it. The inventory says where, in the
    table [hosts.NAME.azure].
    """
    from nbserver.export.azure import template
    from nbserver.export.refused import by_system

    return _write("azure", hosts, inventory_path, folder, as_json, by_system("azure", windows=template.windows, linux=template.linux))


def _write(tool: str, hosts: tuple[str, ...], inventory_path: Path, folder: Path, as_json: bool, export: Export) -> int:
    from nbserver.commands import export as exporting
    from nbserver.inventory import reader

    selected = reader.load_for(inventory_path, hosts, commands=False).select(hosts)
    show_warnings(selected)
    found = exporting.write(exporting.each(selected, export), folder)
    for line in [json.dumps(exporting.as_json(tool, found, folder))] if as_json else exporting.overview(found, folder):
        say(line)
    require_written()
    return 0
