"""`nbserver resume`: continue a run whose process was killed, that was stopped, or that did not reach all hosts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import InventoryError, UsageError
from nbserver.base.existing import exists
from nbserver.base.message import notice, phrase
from nbserver.base.modes import READING
from nbserver.base.standard_streams import say, warn
from nbserver.commands import delivery
from nbserver.inventory import reader
from nbserver.inventory.selection import gone, if_there
from nbserver.run import adopted, evidence_log, intent, known_certificates, operation, past_files, past_run, run_id, run_lock
from nbserver.run.chain import Chain
from nbserver.run.engine import without_cluster
from nbserver.run.envelope import RUN_ID
from nbserver.run.journal import FOLDER
from nbserver.run.past_run import MODES, PastRun
from nbserver.settings.faults import few

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.result import Result
    from nbserver.run.view import View
    from nbserver.settings.secret import Ask


def resume(
    inventory_path: Path, run: str | None, runs: Path | None, given: dict[str, object], ask: Ask | None, view: View
) -> tuple[PastRun, list[AnyHost], dict[str, Result]]:
    """Continue a run, by default the newest one that did not finish, on the hosts without a final outcome.

    `given` are options that replace those of the run. Returns the run, the hosts that were continued, and the results of all hosts.
    Raises NbserverError before a host is contacted.
    """
    if run is not None:
        run_id.require(run)
    folder = runs or inventory_path.absolute().parent / FOLDER
    with ExitStack() as stack:
        name = run or newest(folder)
        past_run.require_there(folder / name)
        run_lock.hold(folder / name, stack)
        is_complete, past = _is_complete(folder / name), _adopted(folder / name)
        names = past.unfinished
        if not names and is_complete:
            raise UsageError(
                "run-has-finished",
                "the run {run} cannot be resumed, because it has finished on every host",
                todo="To repeat the run on the hosts that failed, run nbserver {command} --failed-from {run}",
                run=past.run,
                command=past.command,
            )
        inventory, hosts = _there(inventory_path, names)
        names = [host.name for host in hosts]
        past = replace(past, gone=tuple(gone(if_there(past.unfinished), inventory.all_names)))
        if not hosts and past.gone and is_complete:
            raise UsageError(
                "resume-hosts-gone",
                "the run {run} cannot be resumed, because the hosts on which it has not finished are no longer in the inventory: {hosts}",
                todo="Restore these hosts in the inventory, or specify another inventory with -i",
                run=past.run,
                hosts=few(past.gone),
            )
        _require_passwords(past, names)
        options = intent.options(past.intent, runs=folder, **given)
        if given.get("engine") == "local":
            options = without_cluster(options)
        _remember_finished(past, options.known or inventory.path.parent / known_certificates.FILE_NAME)
        said: dict[str, str | int] = {"run": past.run, "command": past.command, "count": len(names), "total": len(past.hosts)}
        say(phrase("Resuming {run}: {command} on {count} of {total} hosts", **said), err=True)
        if past.gone:
            warn(
                notice("resume-without-hosts", "no longer in the inventory, so the run is not continued on: {hosts}", hosts=few(past.gone))
            )
        return past, hosts, delivery.operate(past.mode, inventory, hosts, options, ask, view, past)


def _there(path: Path, names: Sequence[str]) -> tuple[Inventory, list[AnyHost]]:
    """Return the inventory, and the hosts of `names` that are in it. Raises InventoryError."""
    wanted = if_there(names)
    try:
        inventory = reader.load_for(path, wanted)
        return inventory, inventory.select(wanted) if wanted else []
    except InventoryError as error:
        if error.code != "no-host-left":
            raise
        return reader.load_for(path, []), []


def _adopted(folder: Path) -> PastRun:
    """Return the run. Its files are in its chain as they are now."""
    names = adopted.adopt(folder)
    past = past_run.read(folder)
    for warning in evidence_log.write(past.run, past.mode, operation.operator(), folder, Chain(folder).head()) if names else ():
        warn(warning)
    return replace(past, adopted=tuple(names))


def _is_complete(folder: Path) -> bool:
    """Return whether the run has been written to its end: the summary, the chain, and the line in the log of this user."""
    chain = Chain(folder)
    try:
        if past_files.summary(folder) is None or chain.last(folder / "summary.json") is None:
            return False
        head = chain.head()
    except OSError:  # the chain was not written to its end
        return False
    entries = evidence_log.read_own(folder.name)
    return not entries or entries[-1].head == head


def newest(runs: Path) -> str:
    """Return the ID of the newest run that did not finish. A finished run that changed hosts is the end of the search. Raises UsageError."""
    found = sorted((path.name for path in runs.glob("*") if RUN_ID.fullmatch(path.name)), reverse=True) if os.path.isdir(runs) else []  # noqa: PTH112
    for name in found:
        folder = runs / name
        if not exists(folder / "run.json") or not exists(folder / intent.FILE):
            continue
        head = past_files.head(folder)
        if head["mode"] in MODES and (not _is_complete(folder) or past_run.read(folder).unfinished):
            return name
        if head["mode"] not in READING and head["mode"] != "deliver":  # a delivery is a part of the run that follows
            break
    if not found:
        raise UsageError(
            "no-runs",
            "there are no runs in {runs}",
            todo="Specify another folder with --runs. To complete an interrupted nbserver up, run nbserver up again",
            runs=runs,
        )
    raise UsageError(
        "nothing-to-resume",
        "no run in {runs} can be resumed: the newest one has finished on every host",
        todo="Specify the run to resume, or another folder with --runs",
        runs=runs,
    )


def _require_passwords(past: PastRun, names: list[str]) -> None:
    for name in names:
        if name in past.intent.given:
            raise UsageError(
                "resume-without-password",
                "{name}: the notebook password was entered or generated for the run {run}, and was not stored",
                todo="Run the original command again instead of resuming the run",
                name=name,
                run=past.run,
            )


def _remember_finished(past: PastRun, known_file: Path) -> None:
    """Record the certificates of hosts that finished just before nbserver was killed, unless a later run has recorded others."""
    if past.mode == "undo":
        return
    known = {name.lower(): entry for name, entry in known_certificates.read(known_file).items()}
    found = {
        name: result.fingerprint
        for name, result in past.finished().items()
        if result.fingerprint and (name.lower() not in known or known[name.lower()].run < past.run)
    }
    if found:
        known_certificates.remember(known_file, found, past.run)
