"""The runs that could change a host, as the run directories of this workstation have them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nbserver.base.errors import ApprovalError
from nbserver.base.modes import CHANGING
from nbserver.run import past_files, past_host
from nbserver.run.envelope import RUN_ID


@dataclass(frozen=True)
class RunHere:
    """The events of one run ID. `folder` is the name of the run directory; `sha256` and `size` are those of its lines in events.jsonl.

    A run directory has several IDs if Windows was restarted, or if the run was resumed.
    """

    id: str
    folder: str
    mode: str
    started: str
    script_sha256: str
    sha256: str
    size: int


@dataclass(frozen=True)
class RunsHere:
    """The runs by ID, and the errors of run directories that nbserver has not written like this."""

    runs: dict[str, RunHere] = field(default_factory=dict)
    unreadable: dict[str, ApprovalError] = field(default_factory=dict)


def read(runs: Path, hosts: Iterable[str]) -> dict[str, RunsHere]:
    """Return what the run directories in `runs` have about each host. Raises ApprovalError if the folder itself cannot be read."""
    directories = _directories(runs)
    return {host: _about(host, runs, directories) for host in hosts}


def _about(host: str, runs: Path, directories: Iterable[str]) -> RunsHere:
    found = RunsHere()
    for name in directories:
        if not os.path.isdir(runs / name / host):  # noqa: PTH112 (Path.is_dir raises PermissionError)
            continue
        try:
            for run in _of(runs / name / host, name):
                found.runs[run.id] = run
        except ApprovalError as error:
            found.unreadable[name] = error
    return found


def _directories(runs: Path) -> list[str]:
    try:
        return sorted(filter(RUN_ID.fullmatch, os.listdir(runs)))  # noqa: PTH208 (names are what is needed)
    except FileNotFoundError:
        return []
    except OSError:
        raise past_files.invalid(runs) from None


def _of(folder: Path, name: str) -> list[RunHere]:
    found = []
    for part in past_host.parts(past_host.events(folder)):
        first = part[0]
        if first.event != "started" or first.step or first.data["mode"] not in CHANGING:
            continue
        text = "".join(f"{event.line}\n" for event in part).encode("ascii")
        data = first.data
        sha256 = past_files.sha256(text)
        found.append(RunHere(data["run"], name, data["mode"], first.time, data["script_sha256"], sha256, len(text)))
    return found
