"""What the report states about a run. All of it is computed from the files of the run directory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nbserver.base.message import phrase
from nbserver.base.plain_text import clean
from nbserver.language.language import ENGLISH, Language
from nbserver.report import host_events, run_files
from nbserver.report.host_events import Step, Story
from nbserver.report.moments import TICKS
from nbserver.report.run_files import Attempt, Ended, Head, RunFiles, attempt
from nbserver.run import error_kind
from nbserver.run.failures import Group, grouped

LARGEST_SCRIPT, LARGEST_LOG, LARGEST_PICTURE = 16_000_000, 256_000_000, 4_000_000  # bytes
ALL_LOGS, ALL_PICTURES = 2_000_000, 24_000_000  # characters and bytes in one report
LOG_LINES, LOG_WIDTH = 100, 600
LOGS_OF_A_GROUP = 3
SLOWEST = 15
UNFINISHED_WORDS = UNFINISHED, NOT_STARTED = "unfinished", "not started"
GOOD = ("ok", "differs")
PICTURE = "verified.png"


@dataclass(frozen=True)
class Bar:
    """What a host did, in seconds after the run began. `what` is a step, or what belongs to none; `result` is that of the step."""

    what: str
    result: str
    begin: float
    end: float


@dataclass(frozen=True)
class Script:
    """The script of a host. `sent` is whether it was handed to the host, `same` whether the host reported its hash; None: nothing."""

    file: str
    size: int
    sha256: str
    sent: bool
    same: bool | None


@dataclass(frozen=True)
class Host:
    """A host. `begin` and `end` are seconds after the run began; `waited` is the part before the first event."""

    name: str
    outcome: str
    changed: int | None
    reboot: bool
    seconds: float | None
    begin: float
    end: float
    error: str
    code_and_values: Mapping[str, object]
    last_event: str
    steps: tuple[Step, ...]
    bars: tuple[Bar, ...]
    warnings: tuple[str, ...]
    script: Script | None
    picture: bytes

    @property
    def failed(self) -> bool:
        return self.outcome not in GOOD

    @property
    def kind(self) -> str:
        """The kind of the error, also in a run of a release that did not write it. "" if there is none."""
        return error_kind.of(self.outcome, self.code_and_values) or "" if self.code_and_values else ""


@dataclass(frozen=True)
class StepTotal:
    """A step on all hosts: how many had which result, and how long it took. `slowest` is a host."""

    name: str
    title: str
    results: Mapping[str, int]
    median: float
    longest: float
    slowest: str


@dataclass(frozen=True)
class Report:
    """The whole report. `seconds` is how long the run took, or how long until the last thing that is known of it."""

    head: Head
    ended: bool
    seconds: float
    hosts: tuple[Host, ...]
    outcomes: Mapping[str, int]
    totals: tuple[StepTotal, ...]
    slowest: tuple[tuple[str, Step], ...]
    failures: tuple[Group, ...]
    logs: Mapping[str, tuple[str, ...]]
    attempts: tuple[Attempt, ...]
    faults: tuple[str, ...]


def report(folder: Path, language: Language = ENGLISH) -> Report:
    """Return the report of a run directory, with texts in a language. Raises UsageError and ApprovalError if it is not one."""
    files = run_files.read(folder)
    hosts = tuple(_hosts(files, language))
    failed = [host for host in hosts if host.failed]
    failures = grouped((host.name, host.error, host.code_and_values) for host in failed)
    end = (files.head.end - files.head.start) / TICKS if files.head.end and files.head.start else 0.0
    timed = [(host.name, step) for host in hosts for step in host.steps]
    outcomes: dict[str, int] = {}
    for host in hosts:
        outcomes[host.outcome] = outcomes.get(host.outcome, 0) + 1
    return Report(
        files.head,
        files.head.end is not None and files.summary is not None,
        max([end, *(host.end for host in hosts)]),
        hosts,
        outcomes,
        tuple(_totals(hosts)),
        tuple(sorted(timed, key=lambda one: -one[1].ticks)[:SLOWEST]),
        failures,
        _logs(files, failures),
        files.attempts,
        tuple(files.faults),
    )


def _hosts(files: RunFiles, language: Language) -> list[Host]:
    found, pictures = [], 0
    for name in files.hosts:
        host = _host(files, name, pictures < ALL_PICTURES, language)
        pictures += len(host.picture)
        found.append(host)
    return found


def _host(files: RunFiles, name: str, with_picture: bool, language: Language) -> Host:
    folder, head = files.folder / name, files.head
    present = files.present.get(name, set())
    story = host_events.read(folder, head.run, head.mode, language) if "events.jsonl" in present else Story()
    ended = (files.summary or {}).get(name)
    files.faults += story.faults[: max(0, run_files.MOST_FAULTS - len(files.faults))]
    outcome = ended.outcome if ended else _outcome(story, head.mode)
    begin, offset, end = _times(files, name, story, ended)
    return Host(
        name,
        outcome,
        ended.changed if ended else story.changed if story.outcome else None,
        ended.reboot if ended else story.reboot,
        ended.seconds if ended else None,
        begin,
        end,
        _error(name, outcome, ended, story, language),
        ended.detail if ended and ended.error else {},
        story.last_event,
        tuple(story.steps.values()),
        _bars(story, offset),
        tuple(story.warnings),
        _script(files, name, story),
        _picture(files, folder) if with_picture and PICTURE in present else b"",
    )


def _outcome(story: Story, mode: str) -> str:
    """Return the outcome as the events have it: the run has no summary."""
    if not story.count:
        return NOT_STARTED
    if not story.outcome or story.restarting:
        return UNFINISHED
    return "differs" if story.outcome == "ok" and mode in ("test", "status") and story.differs else story.outcome


def _error(name: str, outcome: str, ended: Ended | None, story: Story, language: Language) -> str:
    if ended and ended.error:
        values = ended.detail.get("values")
        return language.reported(ended.error, str(ended.detail.get("code")), values if isinstance(values, Mapping) else {})
    if story.failures:
        step, text = story.failures[-1]
        return f"{name}, {step or 'script'}: {text}"
    if outcome == UNFINISHED:
        return language.text("{name}: the events end before the run does", name=name)
    return f"{name}: {language.word(outcome)}" if outcome not in GOOD else ""


def _times(files: RunFiles, name: str, story: Story, ended: Ended | None) -> tuple[float, float, float]:
    """Return when the host began, had its first event, and ended, in seconds after the run began.

    These are times of the workstation, from the chain of the run: the clock of a host can be wrong. Only a run without a chain uses it.
    """
    start = files.head.start or story.first or 0

    def added(file: str, last: bool = False) -> float | None:
        times = files.chain.get(f"{name}/{file}")
        return max(0, times[int(last)] - start) / TICKS if times else None

    length = ((story.last or 0) - (story.first or 0)) / TICKS
    sent = added("script.sha256")
    first = sent if sent is not None else max(0, (story.first or start) - start) / TICKS
    end = added("events.jsonl")
    if end is None or end < first:
        end = first + length
    begin = max(0.0, end - ended.seconds) if ended and ended.seconds is not None else first
    return min(begin, first if story.count else begin), first, max(end, first + length) if story.count else max(end, begin)


def _bars(story: Story, offset: float) -> tuple[Bar, ...]:
    first = story.first or 0
    return tuple(
        Bar(
            span.what,
            story.steps[span.what].result if span.what in story.steps else "",
            offset + (span.begin - first) / TICKS,
            offset + (span.end - first) / TICKS,
        )
        for span in story.spans
    )


def _script(files: RunFiles, name: str, story: Story) -> Script | None:
    folder = files.folder / name
    present = files.present.get(name, set())
    path = next((folder / file for file in ("script.ps1", "script.sh") if file in present), None)
    data = attempt(files.faults, path, LARGEST_SCRIPT) if path else None
    if path is None or data is None:
        return None
    digest = hashlib.sha256(data).hexdigest()
    sent = "script.sha256" in present
    return Script(f"{name}/{path.name}", len(data), digest, sent, story.reported == digest if story.reported else None)


def _picture(files: RunFiles, folder: Path) -> bytes:
    """Return the picture of the verification, if it is a picture that shows something."""
    from nbserver.verify import picture

    data = attempt(files.faults, folder / PICTURE, LARGEST_PICTURE) or b""
    try:
        if data:
            picture.check(data)
    except ValueError as error:
        files.faults.append(phrase("{file}: {reason}", file=f"{folder.name}/{PICTURE}", reason=clean(str(error))))
        return b""
    return data


def _totals(hosts: tuple[Host, ...]) -> list[StepTotal]:
    found: dict[str, list[tuple[Host, Step]]] = {}
    for host in hosts:
        for step in host.steps:
            found.setdefault(step.name, []).append((host, step))
    totals = []
    for name, members in found.items():
        results: dict[str, int] = {}
        for _, step in members:
            results[step.result] = results.get(step.result, 0) + 1
        times = sorted(step.seconds for _, step in members)
        middle = len(times) // 2
        median = times[middle] if len(times) % 2 else (times[middle - 1] + times[middle]) / 2
        slowest, longest = max(members, key=lambda one: one[1].ticks)
        title = next((step.title for _, step in members if step.title), "")
        totals.append(StepTotal(name, title, results, median, longest.seconds, slowest.name))
    return totals


def _logs(files: RunFiles, failures: tuple[Group, ...]) -> dict[str, tuple[str, ...]]:
    """Return the end of the log of some hosts of each group."""
    found: dict[str, tuple[str, ...]] = {}
    left = ALL_LOGS
    for one in failures:
        for name in one.hosts[:LOGS_OF_A_GROUP]:
            path = files.folder / name / "log.txt"
            if left <= 0 or path.name not in files.present.get(name, ()):
                continue
            data = (attempt(files.faults, path, LARGEST_LOG) or b"")[-LOG_LINES * 4 * LOG_WIDTH :]
            lines = data.decode("utf-8", "replace").splitlines()[-LOG_LINES:]
            found[name] = tuple(clean(line, LOG_WIDTH) for line in lines)
            left -= sum(map(len, found[name]))
    return found
