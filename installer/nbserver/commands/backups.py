"""`nbserver backup` and `restore`: the notebooks, the configuration, and the record of a host in one file, and back."""

from __future__ import annotations

import json
import tempfile
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver import __version__
from nbserver.base import atomic_file, utc, writing
from nbserver.base.errors import ScriptError, UsageError
from nbserver.base.message import counted, notice
from nbserver.base.plain_text import clean
from nbserver.base.standard_streams import say, warn
from nbserver.certificate import chain, restored
from nbserver.certificate.names import subject_alternative_names
from nbserver.commands import notebooks, servers
from nbserver.commands.notebooks import Task
from nbserver.notebooks import archive
from nbserver.run import approved, operation
from nbserver.run.result import exit_code
from nbserver.run.transfer import Collecting
from nbserver.view.one_summary import OneSummary

if TYPE_CHECKING:
    from nbserver.base.modes import Mode
    from nbserver.certificate.workstation import ServerCertificate
    from nbserver.inventory.hosts import AnyHost

CERTIFICATE = "configuration/certificate.pem"
FILES = frozenset({"configuration/jupyter_config.json", "configuration/jupyter_server_config.json", CERTIFICATE, "record.jsonl"})
"""What a host sends in addition to the notebooks."""

LACKING = ("unreadable", "name", "large", "damaged")
"""States of files that are missing in a backup. A link is not a file. What a kernel writes all the time may never be copied."""

KEY = "configuration/key.pem"
"""What it sends as well in mode backup-key."""


def backup(file: Path, task: Task, *, with_key: bool = False) -> int:
    """Write a backup of the host of the task. Return the exit code; the file is written only if all that the host sends has arrived.

    Files that the host could not send are named, and the exit code is then DIFFERS. Raises UsageError before the host is contacted, and HostError if it has no private key that could be in the backup.
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
    mode: Mode = "backup-key" if with_key else "backup"
    approved.require_each(["pull", mode], task.hosts, task.options)
    task = replace(task, ask=notebooks.remembering(task.ask))
    with writing.temporary_folder(file.parent, ".nbserver-backup-", _refused(file.parent)) as folder:
        code, copies = notebooks.pulled(folder / "pulled", replace(task, mode="pull"))
        if code and not (host.name in copies and copies[host.name].is_done):
            return code
        content = folder / "content"
        content.mkdir()
        view = OneSummary(task.view)
        options = replace(task.options, transfers={host.name: Collecting(content, FILES | {KEY} if with_key else FILES)})
        results = operation.operate(mode, task.inventory, task.hosts, options, task.ask, view, stop=task.stop)
        if exit_code(results):
            view.show("backup", results)
            return exit_code(results)
        if with_key and not (content / KEY).is_file():
            raise ScriptError(
                "backup-without-key",
                "the host has no private key file for the backup",
                host=host.name,
                todo="Run nbserver apply {name}, or back up the host without --with-key",
                name=host.name,
            )
        with _refused(file.parent):
            atomic_file.put_into_place(folder / "pulled" / host.name, content / "notebooks")
        about = {"host": host.name, "system": host.kind, "release": __version__, "time": f"{utc.now():%Y-%m-%dT%H:%M:%SZ}"}
        count = archive.write(file, content, about)
    if with_key:
        warn(
            notice(
                "backup-with-key",
                "{file} contains the private key of {name}: anyone who can read the file can impersonate that server. "
                "Protect it like a password. If someone else has read it, run nbserver rotate-certificate {name}",
                file=str(file),
                name=host.name,
            )
        )
    if task.as_json:
        say(json.dumps({"event": "backup", "host": host.name, "file": str(file), "files": count}))
    elif not task.quiet:
        say(counted("{name}  {count} file is in {file}", "{name}  {count} files are in {file}", count, name=host.name, file=file))
    lacking = sorted(path for path, state in copies[host.name].states.items() if state in LACKING)
    if lacking:
        warn(
            notice(
                "backup-lacks-files",
                "the backup {file} is incomplete: some files on {name} are unreadable or too large, changed while they were "
                "copied, or have names that nbserver cannot store ({count} in total), such as {path}",
                todo="On the host, make these files readable or rename them, then run nbserver backup again. Copy large files with another program",
                file=str(file),
                name=host.name,
                count=len(lacking),
                path=lacking[0],
            )
        )
    return notebooks.DIFFERS if lacking else 0


def _refused(folder: Path) -> AbstractContextManager[None]:
    return writing.refused(
        "backup-folder-not-writable", "could not write to the folder ({reason})", where=folder, todo="Choose another file with -o"
    )


def restore(file: Path, task: Task, *, with_key: bool = False) -> int:
    """Copy the notebooks of a backup to a host. Return the exit code of a push: a file that differs on the host is kept.

    With `with_key`, the server of the host then gets the private key and certificate of the backup. Raises UsageError before the
    host is contacted.
    """
    (host,) = task.hosts
    certificate = _certificate(file, host) if with_key else None
    if certificate and not task.dry_run:
        approved.require_each(["push", "restore-key"], task.hosts, task.options)
    task = replace(task, ask=notebooks.remembering(task.ask))
    code = _restore_notebooks(file, task)
    if certificate is None or task.dry_run or code not in (0, notebooks.DIFFERS):
        return code
    options = replace(task.options, keys={host.name: certificate})
    results = operation.operate("restore-key", task.inventory, task.hosts, options, task.ask, task.view, stop=task.stop)
    return exit_code(results) or code


def _restore_notebooks(file: Path, task: Task) -> int:
    with tempfile.TemporaryDirectory(prefix="nbserver-restore-") as name:
        archive.extract(file, Path(name))
        return notebooks.push(Path(name), replace(task, mode="push"))


def _certificate(file: Path, host: AnyHost) -> ServerCertificate:
    servers.require_own_certificates([host])
    certificate, key = (archive.read(file, name, chain.LONGEST) for name in (CERTIFICATE, KEY))
    if certificate is None or key is None:
        raise UsageError(
            "restore-without-key",
            "the backup has no private key",
            where=clean(str(file), 500),
            todo="Restore it without --with-key, or restore a backup that was written with --with-key",
        )
    try:
        return restored.read(certificate, key, subject_alternative_names(host), utc.now())
    except chain.ChainFault as fault:
        raise UsageError.of(fault, where=f"{host.name}, {clean(str(file), 500)}") from None
