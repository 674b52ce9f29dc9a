"""export: files for the tools that a site already has. These commands contact no host and need no secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbserver.base.standard_streams import require_written, say, warn
from nbserver.cli.options import hosts_and_inventory
from nbserver.cli.output import object_option
from nbserver.cli.warnings import show_warnings

if TYPE_CHECKING:
    from nbserver.base.message import Message
    from nbserver.commands.export import Export
    from nbserver.export.exported import Exported
    from nbserver.inventory.hosts import AnyHost


@click.group("export")
def export_group() -> None:
    """Export the script of each host for other tools

    Each export contains the bytes that nbserver render writes, and checks their SHA-256 on the host. No file contains a secret.
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
    """Write an Azure template for each host's virtual machine

    The template creates the virtual machine with its network, and runs the script on it. The table
    [hosts.NAME.azure] of the inventory sets its region, its public name, and who may connect.
    """
    from nbserver.export.azure import template
    from nbserver.export.refused import by_system

    chosen = by_system("azure", windows=template.windows, linux=template.linux)
    return _write("azure", hosts, inventory_path, folder, as_json, chosen, template.different, template.warning)


@export_group.command("cloud-init")
@_common
@click.option(
    "--hash-command",
    metavar="COMMAND",
    default="cat /root/nbserver-password-hash",
    show_default=True,
    help="Command that prints the password hash on the host; runs as root.",
)
@click.option(
    "--script-url",
    "url",
    metavar="URL",
    default="",
    help="URL from which each host fetches its script; {file} stands for the file name. The host checks the hash.",
)
@click.option(
    "--limit-bytes",
    "limit",
    type=click.IntRange(1_000, 16_777_216),
    metavar="BYTES",
    default=65_535,
    show_default=True,
    help="Largest size of the user data that the platform accepts; the default is Azure's limit.",
)
def cloud_init(hosts: tuple[str, ...], inventory_path: Path, folder: Path, as_json: bool, **given: Any) -> int:
    """Write cloud-init user data for each host

    At the first start, the machine runs the script. User data is readable on the machine and never contains the password hash.
    """
    from functools import partial

    from nbserver.export import cloud_init as export
    from nbserver.export.refused import by_system

    chosen = by_system("cloud-init", linux=partial(export.exported, **export.checked(**given)))
    return _write("cloud-init", hosts, inventory_path, folder, as_json, chosen, export.different(given["url"]))


@export_group.command("ansible")
@_common
def ansible(hosts: tuple[str, ...], inventory_path: Path, folder: Path, as_json: bool) -> int:
    """Write an Ansible play that runs the hosts' scripts

    The play copies the script, checks its hash, and runs it. Host names must be the same as in your Ansible inventory.
    """
    from nbserver.export import ansible as export
    from nbserver.export.refused import by_system

    chosen = by_system("ansible", windows=export.exported, linux=export.exported)
    return _write("ansible", hosts, inventory_path, folder, as_json, chosen, export.with_play)


_hash_file = click.option(
    "--hash-file",
    metavar="PATH",
    default=r"%ProgramData%\nbserver-password-hash.txt",
    show_default=True,
    help="File on the host with the password hash, readable by SYSTEM and administrators only.",
)


@export_group.command("intune")
@_common
@_hash_file
def intune(hosts: tuple[str, ...], inventory_path: Path, folder: Path, as_json: bool, hash_file: str) -> int:
    """Write detection and remediation scripts for Intune

    Detection reports whether something differs, and remediation applies the inventory.
    """
    from functools import partial

    from nbserver.export import windows_management
    from nbserver.export.refused import by_system

    chosen = by_system("intune", windows=partial(windows_management.intune, hash_file=hash_file))
    return _write("intune", hosts, inventory_path, folder, as_json, chosen, own_warning=windows_management.intune_warning)


@export_group.command("gpo")
@_common
@_hash_file
@click.option(
    "--log-file",
    "log",
    metavar="PATH",
    default=r"%SystemRoot%\Logs\nbserver-startup.log",
    show_default=True,
    help="File on the host with the events of the last start.",
)
def gpo(hosts: tuple[str, ...], inventory_path: Path, folder: Path, as_json: bool, hash_file: str, log: str) -> int:
    """Write a Group Policy startup script for each host

    At each start of Windows, the script applies the inventory. A start without differences changes nothing.
    """
    from functools import partial

    from nbserver.export import windows_management
    from nbserver.export.refused import by_system

    chosen = by_system("gpo", windows=partial(windows_management.gpo, hash_file=hash_file, log=log))
    return _write("gpo", hosts, inventory_path, folder, as_json, chosen)


def _write(
    tool: str,
    hosts: tuple[str, ...],
    inventory_path: Path,
    folder: Path,
    as_json: bool,
    export: Export,
    together: Callable[[Iterable[Exported]], Iterable[Exported]] = iter,
    own_warning: Callable[[AnyHost], Message | None] = lambda _: None,
) -> int:
    """Write what `export` returns for the hosts, and `together` makes of all of it. `own_warning` is about a host and this tool."""
    from nbserver.commands import export as exporting
    from nbserver.export import only_sent
    from nbserver.inventory import reader

    selected = reader.load_for(inventory_path, hosts, commands=False).select(hosts)
    show_warnings(selected)
    for host in selected:
        for warning in filter(None, (only_sent.warning(host), own_warning(host))):
            warn(warning)
    found = exporting.write(together(exporting.each(selected, export)), folder)
    for line in [json.dumps(exporting.as_json(tool, found, folder))] if as_json else exporting.overview(found, folder):
        say(line)
    require_written()
    return 0
