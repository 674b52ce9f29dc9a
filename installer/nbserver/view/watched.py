"""What a live view shows: the hosts that are being set up, what each does, and how many are done. Computed without a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbserver.base.plain_text import clean
from nbserver.events.description import describe
from nbserver.run.envelope import READING
from nbserver.view.summary import COLORS, FAILED

if TYPE_CHECKING:
    from nbserver.events.reader import Event

Part = tuple[str, str]  # text and style
ENDED = frozenset({"changed", "unchanged"})
CONNECTING, CHECKING, RESTARTING, ENDING = "connecting", "checking", "restarting", "ending"  # instead of a step
NARROW, WIDE = 60, 100  # columns: below, no bar; from here on, a longer one
LEAST = 24  # columns for what the host does at the moment
EARLY = 0.02  # the share of a run after which the time that is left is estimated
SOON = 5.0  # seconds before that
LONGEST = 300  # characters of an activity


@dataclass
class Active:
    """A host whose run has begun. `done` are its finished steps; `names` are all of them, or none if nobody knows which will run."""

    name: str
    begun: float
    names: tuple[str, ...]
    step: str = CONNECTING
    activity: str = ""
    done: set[str] = field(default_factory=set)
    restored: int = 0

    @property
    def share(self) -> float:
        return min(len(self.done) / len(self.names), 1.0) if self.names else 0.0

    @property
    def next(self) -> str:
        """The step that follows the current one."""
        after = self.names[self.names.index(self.step) + 1 :] if self.step in self.names else ()
        return after[0] if after else self.step


class Watched:
    """The state of a run. `ascii_only` is for terminals that lack other characters."""

    def __init__(self, mode: str, steps: Mapping[str, tuple[str, ...]], now: float, ascii_only: bool = False) -> None:
        self._steps = {host: () if mode == "undo" else names for host, names in steps.items()}
        self._planning = mode in READING
        self._ended = ENDED | {"difference", "finding"} if self._planning else ENDED
        self._begun = now
        self._ascii = ascii_only
        self.active: dict[str, Active] = {}
        self.outcomes: Counter[str] = Counter()

    def host_began(self, host: str, now: float) -> Active:
        """Return the host, which is active from now on."""
        return self.active.setdefault(host, Active(host, now, self._steps.get(host, ())))

    def event(self, host: str, event: Event, now: float) -> None:
        """Apply an event of a host."""
        one = self.host_began(host, now)
        if event.step:
            one.step = event.step
            if event.event in self._ended:
                one.done.add(event.step)
            if event.event in ENDED:
                one.step = one.next
        one.restored += event.event == "restored"
        activity = self._activity(event)
        if activity is not None:
            one.activity = clean(activity, LONGEST)
        if not event.step:
            ending = RESTARTING if event.data.get("restarting") else ENDING
            one.step = {"started": CHECKING, "finished": ending}.get(event.event, one.step)

    def host_ended(self, host: str, outcome: str) -> None:
        """Count a host that is done."""
        self.active.pop(host, None)
        self.outcomes[outcome] += 1

    def _activity(self, event: Event) -> str | None:
        """Return what the host does after this event, or None if it does what it did before."""
        if event.event == "started":
            return describe(event) if event.step else ""
        if event.event == "difference":
            return None if self._planning else str(event.data["what"])
        if event.event in ("progress", "log", "restored"):
            return describe(event)
        return "" if event.event in (*ENDED, "finished", "request") else None

    def lines(self, width: int, height: int, now: float) -> list[list[Part]]:
        """Return at most `height` lines of at most `width` columns: the hosts that began first, and the counters."""
        room = max(1, height - 1)
        shown = list(self.active.values())
        hidden = len(shown) - room
        if hidden > 0:
            shown = shown[: max(room - 1, 0)]
            hidden = len(self.active) - len(shown)
        name_width = min(max((len(one.name) for one in shown), default=0), max(8, width // 4))
        found = [self._line(one, name_width, width, now) for one in shown]
        if hidden > 0 and room > 1:
            found.append([(f"{self._dots} and {hidden} more active hosts"[:width], "dim")])
        return [*found, self.counters(width, now)]

    def _line(self, one: Active, name_width: int, width: int, now: float) -> list[Part]:
        number = min(len(one.done) + 1, len(one.names))
        count = f"{number:>2}/{len(one.names):<2}" if one.names else f"{one.restored:>5}"
        if one.step in (CONNECTING, CHECKING, RESTARTING, ENDING):
            count = " " * len(count)
        took = f"{_clock(now - one.begun):>7}"
        parts = [(f"{_cut(one.name, name_width, self._dots):<{name_width}} ", "")]
        if width >= NARROW:
            parts += self._bar(one, 10 if width < WIDE else 20)
        parts += [(f"{count} ", ""), (f"{one.step:<12}"[: max(12, len(one.step))], "cyan"), (took, "dim")]
        left = width - sum(len(text) for text, _ in parts) - 2
        if one.activity and left >= LEAST:
            parts.append((f"  {_cut_words(one.activity, left, self._dots)}", ""))
        return _fit(parts, width)

    def _bar(self, one: Active, size: int) -> list[Part]:
        full, empty = ("#", "-") if self._ascii else ("\u2501", "\u2500")
        done = round(size * one.share)
        return [(full * done, "green"), (f"{empty * (size - done)} ", "dim")]

    @property
    def _dots(self) -> str:
        return "..." if self._ascii else "\u2026"

    def counters(self, width: int, now: float) -> list[Part]:
        """Return the line with the counters, as much of it as fits."""
        total, ended = len(self._steps), self.outcomes.total()
        waiting = total - ended - len(self.active)
        parts = [(f"{ended} of {total} done", "bold")]
        for outcome in ("failed", "unreachable", "reboot", "stopped", "differs"):
            if count := self.outcomes[outcome]:
                parts.append((f", {count} {outcome}", f"bold {COLORS[outcome]}"))
        left = self.left(now)
        time = [(f", {left} left" if left else f", {_clock(now - self._begun)}", "")]
        rest = [(f", {len(self.active)} active", ""), *([(f", {waiting} waiting", "")] if waiting else [])]
        for chosen in ([*parts, *rest, *time], [*parts, *time]):
            if sum(len(text) for text, _ in chosen) <= width:
                return chosen
        bad = sum(self.outcomes[outcome] for outcome in FAILED)
        return _fit([(f"{ended}/{total} done", "bold"), *([(f", {bad} failed", "bold red")] if bad else []), *time], width)

    def left(self, now: float) -> str:
        """Return about how long the run still takes, or "" while nobody can say."""
        total, ended = len(self._steps), self.outcomes.total()
        done = (ended + sum(one.share for one in self.active.values())) / total if total else 1.0
        passed = now - self._begun
        if not ended or ended == total or done < EARLY or passed < SOON:
            return ""
        return about(passed * (1 - done) / done)


def about(seconds: float) -> str:
    """Return a rough duration: "less than a minute", "about 4 min", "about 2 h 10 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes} min" if minutes < 100 else f"about {minutes // 60} h {minutes % 60 // 10 * 10} min"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _cut(text: str, width: int, dots: str) -> str:
    return text if len(text) <= width else text[: max(0, width - len(dots))] + dots


def _cut_words(text: str, width: int, dots: str) -> str:
    """Return the text, cut off after a word; only a word that is longer than half of the width is cut itself."""
    cut = _cut(text, width, dots)
    if cut == text or text[width - len(dots)] == " ":
        return cut
    words, space, _ = cut.rpartition(" ")
    return f"{words.rstrip(',;:')} {dots}" if space and len(words) + 1 + len(dots) <= width and len(words) >= width // 2 else cut


def _fit(parts: list[Part], width: int) -> list[Part]:
    """Return the parts, cut off at the width."""
    found = []
    for text, style in parts:
        found.append((text[:width], style))
        width -= len(text[:width])
    return [part for part in found if part[0]]
