"""A run that stopped: which hosts have a final outcome, and what the others continue with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbserver.base.errors import ApprovalError, UsageError
from nbserver.base.existing import exists
from nbserver.base.message import Message, message, notice
from nbserver.base.modes import Mode
from nbserver.base.plain_text import clean
from nbserver.render.script import Script
from nbserver.run import intent, past_files, past_host
from nbserver.run.batches import Course
from nbserver.run.intent import Intent
from nbserver.run.past_host import FINAL, PastHost
from nbserver.run.result import SUCCEEDED, Result

MODES: tuple[Mode, ...] = ("test", "apply", "undo")  # what can be continued
NAMES = {"test": "plan"}  # commands whose name is not that of the mode


@dataclass(frozen=True)
class PastRun:
    """A run directory.

    `head` is run.json, `number` says how often the run is continued with this time, `summary` has the hosts of the newest summary,
    and `adopted` are the files for which the chain vouches only from now on. `gone` are hosts without a final outcome that are no
    longer in the inventory.
    """

    folder: Path
    head: Mapping[str, Any]
    mode: Mode
    intent: Intent
    number: int
    summary: Mapping[str, Any] | None
    hosts: dict[str, PastHost] = field(default_factory=dict)
    adopted: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        return self.folder.name

    @property
    def command(self) -> str:
        """The name of the command that began the run."""
        return NAMES.get(self.mode, self.mode)

    def kept(self, host: str) -> Path:
        """Return the path of the script that was kept for a host."""
        found = [path for extension in ("ps1", "sh") if exists(path := self.folder / host / f"script.{extension}")]
        return found[0] if found else self.folder / host / "script"

    @property
    def stages(self) -> list[list[str]]:
        """The hosts in the batches of the run: first the canaries, which may be none."""
        return [list(names) for names in self.intent.batches] or [[], list(self.hosts)]

    @property
    def unfinished(self) -> list[str]:
        """The hosts without a final outcome."""
        return [name for name, past in self.hosts.items() if not past.is_finished]

    def finished(self) -> dict[str, Result]:
        """Return the results of the hosts that are not continued."""
        return {name: past.result for name, past in self.hosts.items() if past.is_finished}

    def left_out(self) -> dict[str, Result]:
        """Return the results of the hosts that are gone. Their scripts may have changed something, or may still be running."""
        return {name: self._left_out(name) for name in self.gone}

    def _left_out(self, name: str) -> Result:
        past = self.hosts[name]
        result = Result(name, "stopped", None if past.sent else 0, steps=past.result.steps, folder=past.result.folder)
        result.because(
            notice(
                "resumed-host-gone",
                "{name}: the run was not continued on this host, which is no longer in the inventory. To continue it there, "
                "restore the host in the inventory and run nbserver resume {run}",
                name=name,
                run=self.run,
            )
        )
        return result

    def course(self) -> Course:
        """Return which host may begin when. A canary that is gone has not succeeded; any other host that is gone counts neither way."""
        stages = self.stages
        found = Course(stages, self.intent.max_failures)
        for name, result in self.finished().items():
            found.ended(name, succeeded=result.outcome in SUCCEEDED)
        for name in self.gone:
            found.ended(name, succeeded=name not in stages[0])
        return found

    def in_order(self, results: Mapping[str, Result]) -> dict[str, Result]:
        """Return the results of all hosts of the run: those of this time, and those of earlier ones.

        Hosts that could not be continued are not among them, unless they are gone.
        """
        every = {**self.finished(), **self.left_out(), **results}
        return {name: every[name] for name in self.hosts if name in every}

    def require_same(self, scripts: Iterable[Script]) -> None:
        """Raise UsageError if the inventory now renders another script for a host, and ApprovalError if a kept one was changed."""
        for script in scripts:
            self._require_same(script)

    def _require_same(self, script: Script) -> None:
        expected, path = self.intent.hosts.get(script.host), self.kept(script.host)
        if expected is None:  # the host has another name now, also in upper case, or a group has its name
            raise UsageError(
                "resume-other-host",
                "{name}: the run {run} has no host with this name; hosts in the inventory were renamed after the run started",
                todo="To continue the run, restore the previous host names in the inventory",
                name=script.host,
                run=self.run,
            )
        data = past_files.read(path) if exists(path) else b""
        if data and past_files.sha256(data) != expected:
            raise ApprovalError(
                "kept-script-changed",
                "the script differs from the one that run {run} started with",
                where=str(path),
                todo="Find out who changed the run directory. To see all changes, run nbserver audit --run {run}",
                run=self.run,
            )
        if script.sha256 != expected:
            raise UsageError(
                "resume-other-script",
                "{name}: the inventory now renders a different script than it did for run {run}: {difference}",
                todo="To continue the run, restore the previous inventory and use the same release of nbserver. To run "
                "the new script instead, run nbserver {command} {name}",
                name=script.host,
                run=self.run,
                difference=_difference(data.decode("ascii", "replace"), script.text),
                command=self.command,
            )

    def require_salt(self, salt: str) -> None:
        """Raise UsageError if passwords would be hashed with another salt than before."""
        if self.mode != "test" and self.intent.salt not in (None, salt):
            raise UsageError(
                "resume-other-salt",
                "nbserver.salt has changed since the run {run} started",
                todo="Restore the file nbserver.salt from version control",
                run=self.run,
            )


def read(folder: Path) -> PastRun:
    """Return the run. Raises UsageError if it cannot be continued, and ApprovalError for a file that nbserver has not written."""
    require_there(folder)
    head = past_files.head(folder)
    mode = head["mode"]
    if mode not in MODES:
        raise UsageError(
            "mode-not-resumed",
            "the run {run} cannot be resumed: it is a {mode} run, and nbserver can resume only plan, apply, and undo runs",
            todo="Run the original command again",
            run=folder.name,
            mode=clean(mode, 40),
        )
    found = intent.read(folder)
    if found is None:
        raise UsageError(
            "run-not-begun",
            "the run {run} cannot be resumed: it stopped before it contacted a host, or a release earlier than 0.6.0 created it",
            todo="Run the original command again",
            run=folder.name,
        )
    number = max(past_files.numbers(folder, "resumed"), default=0) + 1
    past = PastRun(folder, head, next(one for one in MODES if one == mode), found, number, past_files.summary(folder))
    for name, sha256 in found.hosts.items():
        past.hosts[name] = _host(past, name, sha256)
    return past


def require_there(folder: Path) -> None:
    """Raise UsageError if there is no run in this folder."""
    if not os.path.exists(folder / "run.json"):  # noqa: PTH110 (Path.exists raises for a name that is too long)
        raise UsageError(
            "no-such-run",
            "there is no run {run} in {runs}",
            todo="Check the run ID, or specify another folder with --runs",
            run=folder.name,
            runs=folder.parent,
        )


def _host(past: PastRun, name: str, sha256: str) -> PastHost:
    script = Script(name, (), {}, (), sha256, "")  # its text is read only if it is sent again
    host = past_host.read(past.folder / name, script, past.mode, past.run, past.number)
    entry = (past.summary or {}).get(name)
    if entry and host.is_finished and host.result.outcome != entry["outcome"] and entry["outcome"] in FINAL:
        _fail_as(host.result, entry)
    return host


def _fail_as(result: Result, entry: Mapping[str, Any]) -> None:
    """Give a result the outcome in the summary: the script succeeded, but nbserver did not accept the result."""
    result.outcome, result.error, result.fingerprint = entry["outcome"], clean(str(entry.get("error", "")), 12_000), ""
    result.detail = {name: entry[name] for name in ("code", "values") if name in entry}


def _difference(before: str, after: str) -> Message:
    """Return the first line that differs."""
    lines = zip([*before.split("\n"), ""], [*after.split("\n"), ""], strict=False)
    number, (then, now) = next((number, pair) for number, pair in enumerate(lines, 1) if pair[0] != pair[1])
    if not before:
        return message("kept-script-missing", "the SHA-256 differs, and the run directory has no copy of the script to compare it with")
    return message(
        "script-line-differs", 'line {number} is "{now}" instead of "{then}"', number=number, now=clean(now, 200), then=clean(then, 200)
    )
