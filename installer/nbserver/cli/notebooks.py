"""notebooks push and pull: copy files between the workstation and the notebooks of hosts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbserver.cli.options import approved_option, asker, command_line, run_options
from nbserver.cli.output import Output
from nbserver.cli.warnings import show_gone

if TYPE_CHECKING:
    from nbserver.commands.notebooks import Task

dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be copied; copy nothing.")
_folder = click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")


@click.group("notebooks")
def notebooks_group() -> None:
    """Copy notebooks to and from hosts

    Only what differs is copied, and each file is checked by its hash. A file that was changed on both sides is never replaced.
    """


@notebooks_group.command("push")
@_folder
@run_options
@approved_option
@dry_run_option
def push(folder: Path, **given: Any) -> int:
    """Copy the files in DIR to the notebooks of hosts

    Replaces a file on a host only if it has not changed since the last copy; otherwise, it is kept, and the exit code is 4.
    """
    from nbserver.commands import notebooks

    return notebooks.push(folder, task_of("push", **given))


@notebooks_group.command("pull")
@run_options
@_folder
@approved_option
@dry_run_option
def pull(folder: Path, **given: Any) -> int:
    """Copy the notebooks of each host to DIR/HOST

    Replaces a file in DIR only if it has not changed since the last copy; otherwise, it is kept, and the exit code is 4.
    """
    from nbserver.commands import notebooks

    return notebooks.pull(folder, task_of("pull", **given))


def task_of(mode: Any, hosts: tuple[str, ...], inventory_path: Path, output: Output, dry_run: bool, **given: Any) -> Task:
    from nbserver.commands.notebooks import Task
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    loaded = reader.load_for(inventory_path, hosts)
    show_gone(loaded, hosts)
    options = Options(command=command_line(), **given)
    return Task(mode, loaded, loaded.select(hosts), options, asker(), output.view(), dry_run, output.as_json, output.quiet)
