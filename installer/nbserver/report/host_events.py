"""What the events of a host say: its steps with their results and times, its differences, warnings, and failures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nbserver.base.message import counted, phrase
from nbserver.base.modes import Mode
from nbserver.base.plain_text import clean
from nbserver.events.description import describe
from nbserver.events.reader import Event, EventError, parse
from nbserver.language.language import ENGLISH, Language
from nbserver.report.moments import TICKS, ticks
from nbserver.report.run_files import attempt

LARGEST = 256_000_000  # bytes
LONGEST = 500  # characters of a difference or a warning
MOST_DIFFERENCES, MOST_WARNINGS, MOST_FAILURES = 100, 50, 50  # of a step, of a host
CHECK_FIRST: tuple[Mode, ...] = ("apply", "rotate", "request")  # the modes in which a script checks all steps before it changes anything
SPAN_WORDS = CHECKING, RESTART, RESUMED, REST = "checking all steps", "restart", "until resumed", ""
_RESUMED = re.compile(r"-r[0-9]+\Z")  # the end of the ID of a run that was started again on a host
_STATES = ("ok", "unknown", "warning", "failed")  # of a finding, the worst last
_RESULTS = {"difference": "differs", "changed": "changed", "unchanged": "unchanged", "failed": "failed", "restored": "restored"}


@dataclass
class Step:
    """A step on a host. `ticks` is how long it took; `differences` are cut off after MOST_DIFFERENCES, and `found` counts all."""

    name: str
    title: str = ""
    result: str = "unfinished"
    ticks: int = 0
    differences: list[str] = field(default_factory=list)
    found: int = 0

    @property
    def seconds(self) -> float:
        return self.ticks / TICKS


@dataclass(frozen=True)
class Span:
    """What a host did from `begin` to `end`, in ticks of its clock: a step, CHECKING, RESTART, RESUMED, or REST for what belongs to no step."""

    what: str
    begin: int
    end: int


@dataclass
class Story:
    """The events of a host in order. `outcome` is that of the last `finished`, or "" if the last leg has none.

    While they are read, `checking` is whether the script still checks all steps.
    """

    first: int | None = None
    last: int | None = None
    last_event: str = ""
    count: int = 0
    outcome: str = ""
    differs: bool = False
    restarting: bool = False
    reboot: bool = False
    changed: int = 0
    reported: str = ""
    steps: dict[str, Step] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    checking: bool = False


def read(folder: Path, run: str, mode: str, language: Language = ENGLISH) -> Story:
    """Return the story of a host, from events.jsonl in its folder, with texts in a language. Lines that are not events are faults."""
    story = Story()
    number, before = 0, None  # of the event before, and its time
    for event, time in _events(folder, story):
        begins = event.event == "started" and not event.step
        if begins and (event.data["host"].lower() != folder.name.lower() or not event.data["run"].startswith(run)):
            story.faults.append(phrase("{file}: the events belong to another host or run", file=f"{folder.name}/events.jsonl"))
            return Story(faults=story.faults)
        if event.n != number + 1 and not (event.n == 1 and before is not None):
            story.faults.append(
                phrase("{file}: events are missing before event {number}", file=f"{folder.name}/events.jsonl", number=event.n)
            )
        number = event.n
        _time(story, event, time, before)
        _take(story, event, language)
        if begins:
            story.checking = mode in CHECK_FIRST
        before = time
    return story


def _events(folder: Path, story: Story) -> Iterator[tuple[Event, int]]:
    """Yield the valid events with their times."""
    wrong = 0
    for line in (attempt(story.faults, folder / "events.jsonl", LARGEST) or b"").split(b"\n"):
        if not line:
            continue
        try:
            event = parse(line.decode("ascii", "replace"))
        except EventError:
            wrong += 1
            continue
        time = ticks(event.time)
        if time is None:
            wrong += 1
        else:
            yield event, time
    if wrong:
        story.faults.append(
            counted(
                "{file}: {count} line is not an event", "{file}: {count} lines are not events", wrong, file=f"{folder.name}/events.jsonl"
            )
        )


def _time(story: Story, event: Event, time: int, before: int | None) -> None:
    """Count the time since the event before for what the host did meanwhile. A clock that was set back counts as no time."""
    if before is None or story.last is None:
        story.first = story.last = time
        return
    begin, end = story.last, story.last + max(0, time - before)
    story.last = end
    what = _meanwhile(story, event)
    if what in story.steps or what == event.step != "":
        _step(story, what).ticks += end - begin
    if story.spans and story.spans[-1].what == what and story.spans[-1].end == begin:
        story.spans[-1] = Span(what, story.spans[-1].begin, end)
    elif end > begin:
        story.spans.append(Span(what, begin, end))


def _meanwhile(story: Story, event: Event) -> str:
    """Return what the host did until this event. Before it changes anything, a script checks all steps without an event."""
    if event.event == "started" and not event.step:
        return RESUMED if _RESUMED.search(event.data["run"]) else RESTART
    if story.checking and event.event in ("started", "unchanged"):
        story.checking = False
        return CHECKING
    return event.step or REST


def _take(story: Story, event: Event, language: Language) -> None:
    data = event.data
    story.count += 1
    story.last_event = clean(f"{event.step} {language.word(event.event)} {describe(event, language)}".strip(), LONGEST)
    if event.event == "started" and not event.step:
        story.reported, story.outcome = story.reported or data["script_sha256"], ""
    elif event.event == "finished":
        story.outcome, story.differs, story.reboot = data["outcome"], data["differs"], data["reboot"]
        story.restarting = bool(data.get("restarting"))
        story.changed += data["changed"]
    elif event.event == "warning" and len(story.warnings) < MOST_WARNINGS:
        text = describe(event, language)
        story.warnings.append(clean(f"{event.step}: {text}" if event.step else text, LONGEST))
    elif event.event == "failed" and len(story.failures) < MOST_FAILURES:
        story.failures.append((event.step, clean(describe(event, language), 4000)))
    if event.step:
        _take_step(_step(story, event.step), event, language)


def _take_step(step: Step, event: Event, language: Language) -> None:
    if event.event == "started":
        step.title = clean(language.word(event.data["title"]), LONGEST)
    if event.event == "difference":
        step.found += 1
        if len(step.differences) < MOST_DIFFERENCES:
            step.differences.append(clean(describe(event, language), LONGEST))
    if event.event == "finding":
        _take_finding(step, event, language)
    result = _RESULTS.get(event.event)
    if result and not (result == "unchanged" and step.result == "changed"):  # unchanged after a restart
        step.result = result


def _take_finding(step: Step, event: Event, language: Language) -> None:
    """Show a finding that needs attention like a difference. The result of the step is its worst finding."""
    data = event.data
    if data["state"] != "ok":
        step.found += 1
        if len(step.differences) < MOST_DIFFERENCES:
            text = f"{data['text']}. {data['todo']}" if data["todo"] else data["text"]
            said = language.reported(text, data.get("code"), data.get("values", {}), data.get("cause"))
            step.differences.append(clean(f"{language.word(data['state'])}: {said}", LONGEST))
    if step.result not in _STATES or _STATES.index(data["state"]) > _STATES.index(step.result):
        step.result = data["state"]


def _step(story: Story, name: str) -> Step:
    return story.steps.setdefault(name, Step(name))
