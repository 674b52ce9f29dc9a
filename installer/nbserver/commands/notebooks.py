"""`nbserver notebooks push` and `pull`: copy files between a folder of the workstation and the notebooks of hosts."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nbserver.base import plain_file
from nbserver.base.errors import ScriptError, UsageError
from nbserver.base.message import counted, phrase
from nbserver.base.plain_text import clean
from nbserver.base.standard_streams import say, text_for_reader
from nbserver.inventory.by_kind import ByKind
from nbserver.notebooks import known_files, names, received, tree
from nbserver.notebooks.batches import batches
from nbserver.notebooks.comparison import Comparison, compare
from nbserver.notebooks.part import Part
from nbserver.notebooks.tree import File
from nbserver.run import approved, operation
from nbserver.run.batches import settled
from nbserver.run.result import Result, exit_code
from nbserver.run.transfer import Transfer
from nbserver.view.one_summary import OneSummary

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.run.options import Options
    from nbserver.run.view import View
    from nbserver.settings.secret import Ask

DIFFERS = 4  # exit code: a conflict, or what a dry run would copy
SHOWN = 20  # names in a message, or files of a host that were not copied
NOT_COPIED_WORDS = {
    "conflict": "changed at the destination since the last copy; kept",
    "link": "not a file; left out",
    "unreadable": "could not be read or written; left out",
    "name": "the name is not valid, or the path is too long; left out",
    "large": "too large to compare; left out",
    "incomplete": "interrupted; run the command again",
    "damaged": "changed while it was copied; run the command again",
}


@dataclass
class Copy:
    """The copy of one tree to or from one host. `states` says why a path was not copied, and `failed` is whether a run failed."""

    folder: Path
    comparison: Comparison
    files: Mapping[str, File]
    known: dict[str, str]
    states: dict[str, str]
    pending: list[tuple[Part, ...]] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    failed: bool = False

    @property
    def is_done(self) -> bool:
        """Whether no run has failed, and each file was copied or has a state that says why not."""
        return not self.failed and self.comparison.copied.keys() <= {*self.copied, *self.states}

    def take(self, result: Result) -> None:
        """Record what one run copied."""
        for file in result.files:
            if file.path not in self.comparison.copied:
                continue
            if file.state == "stored":
                self.copied.append(file.path)
                self.known[file.path] = self.files[file.path].sha256
            elif file.state in NOT_COPIED_WORDS:
                self.states[file.path] = file.state
        self.failed = self.failed or result.outcome != "ok"
        kept = (tuple(part for part in batch if part.path not in self.states) for batch in self.pending)
        self.pending = [batch for batch in kept if batch] if result.outcome == "ok" else []


@dataclass(frozen=True)
class Task:
    """What the person asked for. `stop` is set by Ctrl-C in one of the runs, and ends the others."""

    mode: Literal["push", "pull"]
    inventory: Inventory
    hosts: Sequence[AnyHost]
    options: Options
    ask: Ask | None
    view: View
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False
    stop: threading.Event = field(default_factory=threading.Event)


def push(folder: Path, task: Task) -> int:
    """Copy the files below a folder to the notebooks of hosts. Return the exit code.

    Raises UsageError for a folder that cannot be copied, before any host is contacted.
    """
    tree.require_folder(folder)
    found = tree.find(folder)
    _require_names(folder, found.files, any(_is_windows(host) for host in task.hosts))
    known = {host.name: known_files.read(folder, host.name) for host in task.hosts}

    def begin(host: AnyHost, theirs: dict[str, File], states: dict[str, str]) -> Copy:
        comparison = compare(found.files, theirs, known[host.name], ignores_case=_is_windows(host))
        left_out = dict.fromkeys(found.left_out, "link")
        return Copy(folder, comparison, found.files, known[host.name], left_out)

    return _run(task, begin)[0]


def pull(folder: Path, task: Task) -> int:
    """Copy the notebooks of each host to FOLDER/HOST. Return the exit code. Raises UsageError before any host is contacted."""
    return pulled(folder, task)[0]


def pulled(folder: Path, task: Task) -> tuple[int, dict[str, Copy]]:
    """Do what `pull` does, and return the copies, too: by the name of the host, unless it failed before."""
    known = {}
    for host in task.hosts:
        own = folder / host.name
        try:
            if not stat.S_ISDIR(os.lstat(own).st_mode):
                raise UsageError("notebooks-folder-is-link", "must be a folder, not a link", where=str(own), todo="Choose another folder")
        except FileNotFoundError:
            pass  # is created once the host has answered
        except OSError as error:
            raise UsageError(
                "notebooks-folder-not-read",
                "could not read the folder ({reason})",
                where=plain_file.shown(own),
                todo="Make the folder readable, or choose another folder",
                reason=error.strerror or type(error).__name__,
            ) from None
        known[host.name] = known_files.read(own, host.name)

    def begin(host: AnyHost, theirs: dict[str, File], states: dict[str, str]) -> Copy:
        own = folder / host.name
        if not task.dry_run:
            own.mkdir(parents=True, exist_ok=True)
            received.remove_unfinished(own)
        ours = tree.find(own).files if own.is_dir() else {}
        wanted = {}
        for path, file in theirs.items():
            if names.fault(path, on_windows=received.ON_WINDOWS):
                states[path] = "name"
            elif not file.sha256:  # its state is already "large", or the host is not as it should be
                states.setdefault(path, "unreadable")
            else:
                wanted[path] = file
        comparison = compare(wanted, ours, known[host.name], ignores_case=received.IGNORES_CASE)
        tree.require_within_limits(host.name, len(comparison.copied), sum(wanted[path].size for path in comparison.copied))
        return Copy(own, comparison, wanted, known[host.name], states)

    return _run(task, begin)


def _run(task: Task, begin: Callable[[AnyHost, dict[str, File], dict[str, str]], Copy]) -> tuple[int, dict[str, Copy]]:
    """List the files of the hosts, compare, and copy batch after batch, all hosts at the same time."""
    if not task.dry_run:
        approved.require_each([task.mode], task.hosts, task.options)
    view, ask = OneSummary(task.view), remembering(task.ask)
    policy = settled([host.name for host in task.hosts], task.options.policy, task.inventory.names_of)
    common = replace(task.options, policy=policy)
    results = operation.operate("list", task.inventory, task.hosts, common, ask, view, stop=task.stop)
    copies: dict[str, Copy] = {}
    for host in task.hosts:
        if task.stop.is_set():
            _stop(results[host.name])
        elif results[host.name].outcome == "ok":
            try:
                copies[host.name] = _begun(host, results[host.name], begin)
            except (UsageError, OSError) as error:
                _fail(results[host.name], error)
    for name, copy in copies.items():
        copy.states.update(dict.fromkeys(copy.comparison.conflicts, "conflict"))
        copy.pending = [] if task.dry_run else list(batches(copy.comparison.copied, copy.files))
        if not task.dry_run:
            copy.known.update({path: copy.files[path].sha256 for path in copy.comparison.equal})
            _remember(results[name], copy)
    while any(copy.pending for copy in copies.values()) and not task.stop.is_set():
        now = {name: copy.pending.pop(0) for name, copy in copies.items() if copy.pending}
        transfers = {name: Transfer(copies[name].folder, parts, task.mode == "push") for name, parts in now.items()}
        options = replace(common, transfers=transfers)
        hosts = [host for host in task.hosts if host.name in now]
        for name, result in operation.operate(task.mode, task.inventory, hosts, options, ask, view, stop=task.stop).items():
            results[name] = _joined(results[name], result)
            copies[name].take(result)
            _remember(results[name], copies[name])
    for name in (name for name, copy in copies.items() if copy.pending):
        _stop(results[name])
    view.show("list" if task.dry_run else task.mode, results)
    for name, copy in copies.items():
        _show(name, copy, task)
    code = exit_code(results)
    differs = any("conflict" in copy.states.values() or (task.dry_run and copy.comparison.copied) for copy in copies.values())
    bad = ("incomplete", "damaged", *(("unreadable",) if task.mode == "push" else ()))
    failed = any(state in bad for copy in copies.values() for state in copy.states.values())
    return code or (3 if failed else DIFFERS if differs else 0), copies


def _begun(host: AnyHost, result: Result, begin: Callable[[AnyHost, dict[str, File], dict[str, str]], Copy]) -> Copy:
    theirs = {file.path: File(file.size, file.sha256) for file in result.files if file.state in ("present", "large")}
    states = {file.path: file.state for file in result.files if file.state in NOT_COPIED_WORDS}
    return begin(host, theirs, states)


def _stop(result: Result) -> None:
    """Say that Ctrl-C has stopped a host that was not done."""
    if result.outcome == "ok":
        result.outcome = "stopped"


def _fail(result: Result, error: UsageError | OSError) -> None:
    """Make an error of the workstation the failure of one host: the others continue."""
    if isinstance(error, UsageError):
        result.fail(ScriptError.of(error, host=result.host, where=error.where))
        return
    result.fail(
        ScriptError(
            "notebooks-folder-unusable",
            "could not use the folder {path} ({reason})",
            host=result.host,
            todo="Make the folder readable and writable, then run the command again",
            path=str(error.filename),
            reason=error.strerror or type(error).__name__,
        )
    )


def _joined(former: Result, result: Result) -> Result:
    """Return the result of the last run of a host, with the changes and the seconds of all."""
    if former.changed is not None and result.changed is not None:
        result.changed += former.changed
    result.seconds = round((former.seconds or 0) + (result.seconds or 0), 1)
    return result


def _remember(result: Result, copy: Copy) -> None:
    """Record what both sides have. If this fails, nothing more is copied: a later run could not tell which side was changed."""
    if not copy.known:
        return
    try:
        known_files.write(copy.folder, result.host, copy.known)
    except UsageError as error:
        copy.pending = []
        if result.outcome == "ok":
            _fail(result, error)


def remembering(ask: Ask | None) -> Ask | None:
    """Return a function that asks each question once: a copy consists of several runs."""
    answers: dict[str, str] = {}

    def remembered(question: str) -> str:
        if question not in answers:
            assert ask is not None
            answers[question] = ask(question)
        return answers[question]

    return remembered if ask else None


def _require_names(folder: Path, files: Mapping[str, File], on_windows: bool) -> None:
    """Raise UsageError for names that a host cannot have."""
    faults = [fault for path in files if (fault := names.fault(path, on_windows=on_windows))]
    if on_windows and not faults:
        faults = names.alike(files)
    if faults:
        shown = "\n".join(str(fault) for fault in faults[:SHOWN])
        raise UsageError(
            "notebook-names-invalid",
            "the host cannot store files or folders with these names ({count} in total):\n{faults}\n",
            where=clean(str(folder), 500),
            todo="Rename these files and folders",
            count=len(faults),
            faults=shown,
        )


def _show(name: str, copy: Copy, task: Task) -> None:
    """Print what was copied, and each file that was not."""
    todo = sorted(copy.comparison.copied) if task.dry_run else sorted(copy.copied)
    if task.as_json:
        answer = {"event": "notebooks", "host": name, "mode": task.mode, "dry_run": task.dry_run}
        say(json.dumps({**answer, "copied": todo, "unchanged": len(copy.comparison.equal), "not_copied": copy.states}))
        return
    if task.quiet and not {*copy.states.values()} - {"link"}:
        return
    counts: dict[str, str | int] = {"name": name, "unchanged": len(copy.comparison.equal), "kept": len(copy.states)}
    if task.dry_run:
        say(
            counted(
                "{name}  {count} file would be copied, {unchanged} unchanged, {kept} not copied",
                "{name}  {count} files would be copied, {unchanged} unchanged, {kept} not copied",
                len(todo),
                **counts,
            )
        )
    else:
        say(
            counted(
                "{name}  {count} file copied, {unchanged} unchanged, {kept} not copied",
                "{name}  {count} files copied, {unchanged} unchanged, {kept} not copied",
                len(todo),
                **counts,
            )
        )
    states = sorted(copy.states.items(), key=lambda item: (item[1] != "conflict", item))
    for path, state in states[:SHOWN]:
        shown = click.style(clean(path, 300), fg="red" if state == "conflict" else None)
        say(f"    {shown}: {text_for_reader(phrase(NOT_COPIED_WORDS[state]))}")
    if len(states) > SHOWN:
        say(phrase("    and {count} more; --json shows all", count=len(states) - SHOWN))
    if task.dry_run and not task.quiet:
        for path in todo:
            say(f"    {clean(path, 300)}")


def _windows(host: WindowsHost | LocalWindowsHost) -> bool:
    return True


def _linux(host: LinuxHost | LocalLinuxHost) -> bool:
    return False


_is_windows = ByKind(windows=_windows, linux=_linux, local_windows=_windows, local_linux=_linux)
