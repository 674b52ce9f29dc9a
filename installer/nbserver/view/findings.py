"""Show what a check finds: one block per host as it ends, a line for each requirement, and below it what to do."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.base import folding
from nbserver.base.standard_streams import text_for_reader
from nbserver.language.language import ENGLISH, Language
from nbserver.run import failures
from nbserver.view.error_text import error_text
from nbserver.view.summary import COLORS, MANY, STOPPING, files_line, group_lines

if TYPE_CHECKING:
    from nbserver.events.reader import Event
    from nbserver.run.finding import Finding, State
    from nbserver.run.result import Result

STATES: tuple[State, ...] = ("failed", "unknown", "warning", "ok")
STATE_COLORS = {**COLORS, "unknown": "yellow"}
LEAST, MOST = 40, 120  # columns


class Findings:
    """Writes all findings of a single host; of several hosts, those that are not ok, unless `verbose`.

    With `quiet`, writes only what failed. If many hosts cannot be reached for the same reason, the first ones are shown in full, and
    the end has the names of all.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        verbose: bool = False,
        quiet: bool = False,
        columns: int | None = None,
        language: Language = ENGLISH,
    ) -> None:
        self._write, self._verbose, self._quiet = write, verbose, quiet
        self._language = language
        self._columns = columns
        self._single = True
        self._unreachable: Counter[tuple[str, ...]] = Counter()

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        self._single = len(steps) == 1

    def host_began(self, host: str) -> None:
        pass

    def event(self, host: str, event: Event) -> None:
        pass

    def host_ended(self, result: Result) -> None:
        if self._is_like_others(result):
            return
        columns = max(LEAST, min(MOST, self._columns or shutil.get_terminal_size((100, 24)).columns))
        for line in host_lines(result, self._shown(result.findings), columns, self._quiet, self._language):
            self._write(line)

    def _is_like_others(self, result: Result) -> bool:
        if result.outcome != "unreachable" or self._quiet or self._verbose:
            return False
        reason = failures.reason(result.host, result.error, result.detail)
        self._unreachable[reason] += 1
        return self._unreachable[reason] > MANY

    def _shown(self, found: Sequence[Finding]) -> list[Finding]:
        if self._quiet:
            return [finding for finding in found if finding.state == "failed"]
        return [finding for finding in found if finding.state != "ok" or self._single or self._verbose]

    def interrupted(self) -> None:
        click.echo(text_for_reader(STOPPING), err=True)

    def end(self) -> None:
        pass

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        if self._quiet:
            return
        for line in closing_lines(results, folder, self._language):
            self._write(line)


def host_lines(result: Result, shown: Sequence[Finding], columns: int, quiet: bool = False, language: Language = ENGLISH) -> Iterator[str]:
    """Yield the block of one host: its name and how many findings of each state there are, and the findings to show."""
    counts = Counter(finding.state for finding in result.findings)
    words = [click.style(f"{counts[state]} {language.word(state)}", fg=STATE_COLORS[state]) for state in STATES if counts[state]]
    broken = bool(result.error) and not _is_in_findings(result)
    if broken:
        words.insert(0, click.style(language.word(result.outcome), fg=STATE_COLORS.get(result.outcome)))
    if words and not (quiet and not shown and not broken):
        yield f"{result.host}: {language.joined(words)}"
    if broken:
        yield from _wrapped(error_text(result, language), "  ", columns)
    width = max((len(finding.name) for finding in shown), default=0)
    for finding in shown:
        yield from _finding_lines(finding, width, columns, language)


def _is_in_findings(result: Result) -> bool:
    """Return whether the findings say why the host failed. Nothing in them says that the script was cut off, or sent a secret."""
    if result.detail.get("code") == "requirements-not-met":
        return True
    return any(finding.state == "failed" and finding.detail == result.detail for finding in result.findings)


def _finding_lines(finding: Finding, width: int, columns: int, language: Language) -> Iterator[str]:
    state_width = max(folding.width(language.word(state)) for state in STATES)
    state = folding.padded(language.word(finding.state), state_width)
    head = f"  {state}  {finding.name:<{width}}  "
    indent = " " * folding.width(head) if folding.width(head) <= columns // 2 else " " * 4
    text, todo = language.finding(finding.text, finding.todo, finding.detail.get("code"), finding.detail.get("values", {}), finding.cause)
    first, *rest = _wrapped(text, indent, columns)
    state = click.style(state, fg=STATE_COLORS[finding.state])
    if len(indent) == folding.width(head):
        yield f"  {state}  {finding.name:<{width}}  {first.strip()}"
    else:
        yield f"  {state}  {finding.name}"
        yield first
    yield from rest
    if todo:
        yield from _wrapped(todo, indent, columns)


def _wrapped(text: str, indent: str, columns: int) -> list[str]:
    return folding.folded(indent + text, columns, len(indent)).split("\n")


def closing_lines(results: Mapping[str, Result], folder: Path, language: Language = ENGLISH) -> Iterator[str]:
    """Yield how many hosts are ready, and where the run's files are."""
    ready = sum(result.outcome == "ok" for result in results.values())
    for group in failures.group(result for result in results.values() if result.outcome == "unreachable"):
        if len(group.hosts) > MANY:
            yield ""
            yield from group_lines(group, language)
    yield ""
    if len(results) == 1:
        yield language.text("The host is ready for nbserver apply") if ready else language.text("The host is not ready for nbserver apply")
    else:
        yield language.text("{ready} of {count} hosts are ready for nbserver apply", ready=ready, count=len(results))
        failed = Counter(name for result in results.values() for name in _failed(result))
        if failed:
            yield language.text("Failed: {names}", names=language.joined(f"{name} ({count})" for name, count in failed.most_common()))
    yield files_line(folder, language)


def _failed(result: Result) -> set[str]:
    return {finding.name for finding in result.findings if finding.state == "failed"}
