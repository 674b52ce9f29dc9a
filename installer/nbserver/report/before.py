"""Compare a run with the run before: the newest earlier run of the same command with hosts in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbserver.language.language import ENGLISH, Language
from nbserver.report import run_files
from nbserver.report.moments import duration
from nbserver.report.run_files import Head
from nbserver.report.statements import Host, Report, report
from nbserver.run.envelope import RUN_ID

MOST_LOOKED_AT = 1000  # folders
SLOWER, LEAST = 2.0, 5.0  # how many times, and how many seconds longer: a difference that is worth a line


NOT_RUN_WORDS = ("not run",)


@dataclass(frozen=True)
class Row:
    """What differs on a host: before, and now."""

    host: str
    what: str
    before: str
    now: str
    is_hash: bool = False


@dataclass(frozen=True)
class Comparison:
    """A run compared with `head`, the run before. `both` are the hosts of both runs."""

    head: Head
    ended: bool
    seconds: float
    both: tuple[str, ...]
    only_now: tuple[str, ...]
    only_before: tuple[str, ...]
    rows: tuple[Row, ...]


def before(folder: Path, now: Report) -> Path | None:
    """Return the folder of the run before, or None if there is none among the newest ones."""
    hosts = {host.name for host in now.hosts}
    earlier = sorted((name for name in _names(folder.parent) if name < folder.name), reverse=True)
    for name in earlier[:MOST_LOOKED_AT]:
        head = run_files.read_head(folder.parent / name)
        if head and head.mode == now.head.mode and hosts & set(head.hosts):
            return folder.parent / name
    return None


def compare(now: Report, folder: Path, language: Language = ENGLISH) -> Comparison:
    """Return the comparison with the run of a folder. Raises UsageError and ApprovalError if it is not one."""
    earlier = report(folder, language)
    old, new = ({host.name: host for host in one.hosts} for one in (earlier, now))
    both = tuple(name for name in new if name in old)
    return Comparison(
        earlier.head,
        earlier.ended,
        earlier.seconds,
        both,
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple(row for name in both for row in _rows(old[name], new[name], language)),
    )


def _names(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if RUN_ID.fullmatch(name)]  # noqa: PTH208 (names only)
    except OSError:
        return []


def _rows(old: Host, new: Host, language: Language) -> Iterator[Row]:
    if old.outcome != new.outcome:
        yield Row(new.name, language.text("outcome"), language.word(old.outcome), language.word(new.outcome))
    if old.error != new.error and old.failed and new.failed:
        yield Row(new.name, language.text("error"), old.error, new.error)
    one, other = (host.script.sha256 if host.script else language.text("none") for host in (old, new))
    if one != other:
        yield Row(new.name, language.text("script"), one, other, is_hash=True)
    if new.steps:
        yield from _steps(old, new, language)


def _steps(old: Host, new: Host, language: Language) -> Iterator[Row]:
    """Yield one row for the steps with other results, one for those that did not run, and one for each that took much longer."""
    former = {step.name: step for step in old.steps}
    other = [step for step in new.steps if step.name not in former or former[step.name].result != step.result]
    if other:
        results = (former[step.name].result if step.name in former else NOT_RUN_WORDS[0] for step in other)
        were = language.joined(f"{step.name} {language.word(result)}" for step, result in zip(other, results, strict=True))
        yield Row(new.name, language.text("steps"), were, language.joined(f"{step.name} {language.word(step.result)}" for step in other))
    missing = former.keys() - {step.name for step in new.steps}
    if missing:
        names = language.joined(name for name in former if name in missing)
        yield Row(new.name, language.text("steps"), names, language.word(NOT_RUN_WORDS[0]))
    for step in new.steps:
        before = former[step.name].seconds if step.name in former else step.seconds
        if step.seconds > before * SLOWER and step.seconds - before > LEAST:
            yield Row(
                new.name, language.text("time of {step}", step=step.name), duration(before, language), duration(step.seconds, language)
            )
