"""backup and restore: a host's notebooks in a file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbserver.base.errors import UsageError
from nbserver.cli.notebooks import dry_run_option, task_of
from nbserver.cli.options import approved_option, run_options

if TYPE_CHECKING:
    from nbserver.commands.notebooks import Task

_file = click.Path(path_type=Path, dir_okay=False)


@click.command()
@run_options
@click.option(
    "-o", "--output", "file", type=_file, metavar="FILE", required=True, help="File for the backup; an earlier backup is replaced."
)
@click.option(
    "--with-key", is_flag=True, help="Include the private key of the certificate; anyone who can read the file can impersonate the server."
)
@approved_option
def backup(file: Path, with_key: bool, **given: Any) -> int:
    """Write a host's notebooks and configuration to a file

    The file is a ZIP that only you can read. It contains the notebooks, the configuration with the password hash, the
    certificate, and the record of changes. It contains the private key only with --with-key; an approval must then cover
    the mode backup-key.
    """
    from nbserver.commands import backups

    return backups.backup(file, _of_one_host(task_of("pull", dry_run=False, **given)), with_key=with_key)


@click.command()
@click.argument("file", type=_file)
@run_options
@click.option("--with-key", is_flag=True, help="Also restore the private key and certificate, which replace those of the server.")
@approved_option
@dry_run_option
def restore(file: Path, with_key: bool, **given: Any) -> int:
    """Copy the notebooks of a backup to a host

    Set up the host with apply first. A file that differs on the host is kept, and the exit code is then 4. With --with-key, the
    server restarts with the private key and certificate of the backup. An approval must then cover the mode restore-key.
    """
    from nbserver.commands import backups

    return backups.restore(file, _of_one_host(task_of("push", **given)), with_key=with_key)


def _of_one_host(task: Task) -> Task:
    if len(task.hosts) != 1:
        raise UsageError(
            "backup-of-one-host",
            "{count} hosts are selected, but only one host can be backed up at a time",
            todo="Specify a single host",
            count=len(task.hosts),
        )
    return task
