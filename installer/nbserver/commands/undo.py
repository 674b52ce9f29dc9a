"""`nbserver undo --with-notebooks`: archive the notebooks of hosts on this workstation, then remove them and undo everything else."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver import __version__
from nbserver.base import atomic_file, utc, writing
from nbserver.base.errors import UsageError
from nbserver.base.existing import exists
from nbserver.base.message import counted
from nbserver.base.standard_streams import say
from nbserver.commands import notebooks
from nbserver.commands.notebooks import Task
from nbserver.notebooks import archive
from nbserver.run import approved, operation
from nbserver.run.result import exit_code

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost


def undo_with_notebooks(folder: Path, task: Task) -> int:
    """Write an archive of each host's notebooks into a folder, then undo the hosts. Return the exit code.

    Unless all archives are complete, no host is undone. Raises UsageError before any host is contacted.
    """
    if not folder.is_dir():
        raise UsageError(
            "archives-no-folder",
            "the folder {folder} does not exist",
            todo="Create the folder, or choose another folder with --archives",
            folder=folder,
        )
    approved.require_each(["pull", "undo"], task.hosts, task.options)
    task = replace(task, ask=notebooks.remembering(task.ask))
    with writing.temporary_folder(folder, ".nbserver-undo-", _refused(folder)) as pulled:
        code = notebooks.pull(pulled, replace(task, mode="pull"))
        if code:
            return code
        archived = {host.name: _archive(folder, pulled / host.name, host, task) for host in task.hosts}
    options = replace(task.options, archived=archived)
    return exit_code(operation.operate("undo", task.inventory, task.hosts, options, task.ask, task.view, stop=task.stop))


def _refused(folder: Path) -> AbstractContextManager[None]:
    return writing.refused(
        "archives-not-writable", "could not write to the folder ({reason})", where=folder, todo="Choose another folder with --archives"
    )


def _archive(folder: Path, pulled: Path, host: AnyHost, task: Task) -> str:
    """Write the archive of one host, and return the hash of what is in it after it was read again. Raises UsageError."""
    file = folder / f"{host.name}-notebooks-{utc.now():%Y%m%dT%H%M%SZ}.zip"
    if exists(file):
        raise UsageError(
            "archive-exists",
            "the file {file} already exists",
            todo="Run the command again; nbserver then chooses a different file name",
            file=file,
        )
    content = pulled.with_name(f".{host.name}-content")
    content.mkdir()
    with _refused(folder):
        atomic_file.put_into_place(pulled, content / "notebooks")
    about = {"host": host.name, "system": host.kind, "release": __version__, "time": f"{utc.now():%Y-%m-%dT%H:%M:%SZ}"}
    count = archive.write(file, content, about)
    found = archive.content_hash(file)
    if task.as_json:
        say(json.dumps({"event": "backup", "host": host.name, "file": str(file), "files": count}))
    elif not task.quiet:
        say(counted("{name}  {count} file is in {file}", "{name}  {count} files are in {file}", count, name=host.name, file=file))
    return found
