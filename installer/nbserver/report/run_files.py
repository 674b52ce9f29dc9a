"""Read the files of a run directory, as far as they are what nbserver writes. Whoever could write to the folder may have changed them.

What cannot be read is a fault that the report names; only a folder that is not a run is an error.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from nbserver.base import plain_file
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.base.message import message, phrase
from nbserver.base.modes import CHANGING, READING
from nbserver.base.plain_text import clean
from nbserver.report.moments import ticks
from nbserver.run import chain, run_folder, run_id

LARGEST_HEAD, LARGEST_SUMMARY, LARGEST_CHAIN = 16_000_000, 256_000_000, 64_000_000  # bytes
LONGEST = 2000  # characters of a text
MOST_WORDS = 100  # arguments of the command
MOST_FAULTS = 100
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
STEP_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
SHA256 = re.compile("[0-9a-f]{64}")
COMMANDS: dict[str, str] = {
    **{mode: mode for mode in (*READING, *CHANGING)},
    "test": "plan",
    "request": "certificate request",
    "restore-key": "restore --with-key",
    "missing": "missing downloads",
    "deliver": "delivery",
    "list": "notebooks list",
    "push": "notebooks push",
    "pull": "notebooks pull",
    "backup-key": "backup --with-key",
    "evidence": "audit --evidence",
}
"""The command that runs a mode, or words for a mode that is a part of other commands."""
OUTCOMES = frozenset({"ok", "differs", "failed", "unreachable", "stopped", "reboot"})
RESULTS = frozenset({"differs", "changed", "unchanged", "failed", "restored"})
APPROVAL = re.compile("approval(-[0-9]+)?")  # the folders with the files of the approvals
RESUMED = re.compile("resumed-([1-9][0-9]{0,3})[.]json")
MOST_RESUMED = 100  # attempts that are shown
_ADVICE = message("report-advice", "Specify a run directory that has not been changed since nbserver wrote it")


@dataclass(frozen=True)
class Head:
    """What run.json says. Times are in ticks of 100 nanoseconds; a text that is missing is empty."""

    run: str
    mode: str
    operator: str
    release: str
    start: int | None
    end: int | None
    hosts: tuple[str, ...]
    inventory: str
    command: tuple[str, ...]
    approved: str
    workstation: str


@dataclass(frozen=True)
class Ended:
    """What summary.json says about a host."""

    outcome: str
    changed: int | None
    reboot: bool
    steps: Mapping[str, str]
    seconds: float | None
    error: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Attempt:
    """Who resumed a run, and when."""

    operator: str
    release: str
    start: int | None


@dataclass
class RunFiles:
    """A run directory. `summary` is the newest one, or None if the run, or the newest attempt to resume it, has no end. `chain` has the first and the last time of each file, in ticks.

    `present` has the names of the files in the folder of each host.
    """

    folder: Path
    head: Head
    summary: Mapping[str, Ended] | None
    chain: Mapping[str, tuple[int, int]]
    hosts: tuple[str, ...]
    present: Mapping[str, set[str]]
    attempts: tuple[Attempt, ...] = ()
    faults: list[str] = field(default_factory=list)


def folder_of(run: str, runs: Path | None) -> Path:
    """Return the folder of a run: see run_folder.of. Raises UsageError."""
    folder = run_folder.of(run, runs)
    run_id.require(run, os.path.basename(os.path.realpath(folder)))  # noqa: PTH119 (Path.resolve raises for a loop)
    if not os.path.exists(folder / "run.json"):  # noqa: PTH110 (Path.exists raises for a name that is too long)
        raise UsageError(
            "run-not-found",
            "this is not a run directory: it contains no run.json",
            where=plain_file.shown(folder),
            todo="Specify a run ID and --runs, or the path of the run directory",
        )
    return folder


def read(folder: Path) -> RunFiles:
    """Return what the files of a run say. Raises UsageError if run.json is not as nbserver writes it, and ApprovalError for a link."""
    present = plain_file.names(folder)
    faults: list[str] = []
    head = _head(folder / "run.json")
    resumed = sorted(int(found[1]) for found in map(RESUMED.fullmatch, present) if found)
    newest = f"summary-{resumed[-1]}.json" if resumed else "summary.json"
    summary = _summary(folder / newest, faults) if newest in present else None
    times = _chain(folder, faults) if chain.FILE in present else {}
    found = _folders(folder, {name for name in present if name in head.hosts or not APPROVAL.fullmatch(name)}, faults)
    names = tuple(dict.fromkeys((*head.hosts, *sorted({*found, *(summary or {})}))))
    attempts = tuple(_attempt(folder / f"resumed-{number}.json", faults) for number in resumed[-MOST_RESUMED:])
    return RunFiles(folder, head, summary, times, names, found, attempts, faults)


def read_head(folder: Path) -> Head | None:
    """Return what run.json of a folder says, or None if the folder is not that of a run."""
    try:
        return _head(folder / "run.json")
    except (ApprovalError, UsageError):
        return None


def _folders(folder: Path, names: set[str], faults: list[str]) -> dict[str, set[str]]:
    """Return the names in the folder of each host. A link is not followed."""
    found = {}
    for name in filter(HOST_NAME.fullmatch, names):
        try:
            if not stat.S_ISREG(os.lstat(folder / name).st_mode):
                found[name] = plain_file.names(folder / name)
        except ApprovalError as error:
            faults.append(phrase("{file}: {reason}", file=name, reason=error.what))
        except OSError as error:
            faults.append(f"{name}: {error.strerror}")
    return found


def attempt(faults: list[str], path: Path, limit: int) -> bytes | None:
    """Return the bytes of a file, or None. Why it could not be read becomes a fault."""
    try:
        return plain_file.read(path, limit, advice=_ADVICE)
    except ApprovalError as error:
        if len(faults) < MOST_FAULTS:
            faults.append(phrase("{file}: {reason}", file=f"{path.parent.name}/{path.name}", reason=error.what))
        return None


def _head(path: Path) -> Head:
    value = _object(plain_file.read(path, LARGEST_HEAD, advice=_ADVICE))
    if value is None or value.get("run") != path.resolve().parent.name or not _is_one_of(COMMANDS, value.get("mode")):
        raise UsageError(
            "run-json-invalid",
            "the file is not in the format that nbserver writes, or belongs to a different run",
            where=plain_file.shown(path),
            todo="{advice}",
            advice=_ADVICE,
        )
    hosts, command = value.get("hosts"), value.get("command")
    return Head(
        str(value["run"]),
        str(value["mode"]),
        _text(value.get("operator")),
        _text(value.get("release")),
        ticks(value.get("start")),
        ticks(value.get("end")),
        tuple(dict.fromkeys(name for name in _list(hosts) if isinstance(name, str) and HOST_NAME.fullmatch(name))),
        _text(_inside(value.get("inventory"), "file")),
        tuple(_text(word) for word in _list(command)[:MOST_WORDS]),
        _digest(_inside(value.get("approved"), "sha256")),
        _text(_inside(value.get("workstation"), "name")),
    )


def _attempt(path: Path, faults: list[str]) -> Attempt:
    value = _object(attempt(faults, path, LARGEST_HEAD) or b"") or {}
    return Attempt(_text(value.get("operator")), _text(value.get("release")), ticks(value.get("start")))


def _summary(path: Path, faults: list[str]) -> Mapping[str, Ended]:
    data = attempt(faults, path, LARGEST_SUMMARY)
    value = _object(data) if data is not None else {}
    hosts = value.get("hosts") if value is not None else None
    found = {}
    for name, host in hosts.items() if isinstance(hosts, dict) else ():
        if HOST_NAME.fullmatch(name) and (ended := _ended(host)):
            found[name] = ended
        elif len(faults) < MOST_FAULTS:
            faults.append(phrase("{file}: a host is not in the format that nbserver writes", file=path.name))
    if data is not None and not isinstance(hosts, dict):
        faults.append(phrase("{file}: it is not in the format that nbserver writes", file=path.name))
    return found


def _ended(value: object) -> Ended | None:
    if not isinstance(value, dict) or not _is_one_of(OUTCOMES, value.get("outcome")):
        return None
    changed, seconds, steps = value.get("changed"), value.get("seconds"), value.get("steps")
    named = steps.items() if isinstance(steps, dict) else ()
    code, values = value.get("code"), value.get("values")
    return Ended(
        value["outcome"],
        changed if _is_count(changed) else None,
        value.get("reboot") is True,
        {name: result for name, result in named if STEP_NAME.fullmatch(name) and _is_one_of(RESULTS, result)},
        float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 10**9 else None,
        clean(value["error"], 12_000) if isinstance(value.get("error"), str) else "",
        {"code": code, "values": values} if isinstance(code, str) and isinstance(values, dict) else {},
    )


def _chain(folder: Path, faults: list[str]) -> dict[str, tuple[int, int]]:
    """Return when each file was added first and last. The hashes are not checked: nbserver audit --run does that."""
    found: dict[str, tuple[int, int]] = {}
    for line in (attempt(faults, folder / chain.FILE, LARGEST_CHAIN) or b"").splitlines(keepends=True):
        try:
            link = chain.parse(line)
        except ValueError:
            faults.append(phrase("chain.jsonl: a line is not in the format that nbserver writes"))
            break
        if (time := ticks(link.time)) is not None:
            found[link.file] = (found.get(link.file, (time, time))[0], time)
    return found


def _object(data: bytes) -> dict[str, Any] | None:
    """Return the object of a JSON file, or None. Seconds are not whole numbers; other constants than JSON's are refused."""
    try:
        value = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**53


def _is_one_of(words: Collection[str], value: object) -> bool:
    return isinstance(value, str) and value in words


def _text(value: object) -> str:
    return clean(value, LONGEST) if isinstance(value, str) else ""


def _digest(value: object) -> str:
    return value if isinstance(value, str) and SHA256.fullmatch(value) else ""


def _inside(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
