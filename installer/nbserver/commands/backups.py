"""`nbserver backup` and `restore`: the notebooks, the configuration, and the record of a host in one file, and the notebooks back."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from nbserver import __version__
from nbserver.base import utc
from nbserver.base.errors import UsageError
from nbserver.base.standard_streams import say
from nbserver.commands import notebooks
from nbserver.commands.notebooks import Task
from nbserver.notebooks import archive
from nbserver.run import operation
from nbserver.run.result import exit_code
from nbserver.run.transfer import Collecting
from nbserver.view.one_summary import OneSummary

FILES = frozenset(
    {"configuration/jupyter_config.json", "configuration/jupyter_server_config.json", "configuration/certificate.pem", "record.jsonl"}
)
"""What a host sends in addition to the notebooks."""


def backup(file: Path, task: Task) -> int:
    """Write a backup of the host of the task. Return the exit code; the file is written only if it is complete.

    Raises UsageError before the host is contacted.
    """
    archive.require_backup(file)
    if not file.parent.is_dir():
        raise UsageError(
            "backup-no-folder",
            "the folder {folder} does not exist",
            todo="Create the folder, or choose a file in another folder with -o",
            folder=file.parent,
        )
    (host,) = task.hosts
    task = replace(task, ask=notebooks.remembering(task.ask))
    with tempfile.TemporaryDirectory(prefix=".nbserver-backup-", dir=file.parent, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        code = notebooks.pull(folder / "pulled", replace(task, mode="pull"))
        if code:
            return code
        content = folder / "content"
        content.mkdir()
        view = OneSummary(task.view)
        options = replace(task.options, transfers={host.name: Collecting(content, FILES)})
        results = operation.operate("backup", task.inventory, task.hosts, options, task.ask, view)
        if exit_code(results):
            view.show("backup", results)
            return exit_code(results)
        (folder / "pulled" / host.name).rename(content / "notebooks")
        about = {"host": host.name, "system": host.kind, "release": __version__, "time": f"{utc.now():%Y-%m-%dT%H:%M:%SZ}"}
        count = archive.write(file, content, about)
    if task.as_json:
        say(json.dumps({"event": "backup", "host": host.name, "file": str(file), "files": count}))
    else:
        say(f"{host.name}  {count} files are in {file}")
    return 0


def restore(file: Path, task: Task) -> int:
    """Copy the notebooks of a backup to a host. Return the exit code of a push: a file that differs on the host is kept.

    Raises UsageError before the host is contacted.
    """
    with tempfile.TemporaryDirectory(prefix="nbserver-restore-") as name:
        archive.extract(file, Path(name))
        return notebooks.push(Path(name), replace(task, mode="push"))
