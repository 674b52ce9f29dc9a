"""What a live view shows: the hosts that are being set up, what each does, and how many are done. Computed without a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbserver.base import folding
from nbserver.base.modes import READING
from nbserver.base.plain_text import clean
from nbserver.events.description import describe
from nbserver.language.language import ENGLISH, Language
from nbserver.view.summary import COLORS, FAILED

if TYPE_CHECKING:
    from nbserver.events.reader import Event

Part = tuple[str, str]  # text and style
ENDED = frozenset({"changed", "unchanged"})
STEP_WORDS = CONNECTING, CHECKING, RESTARTING, ENDING = "connecting", "checking", "restarting", "ending"  # instead of a step
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
    """The state of a run. `ascii_only` is for terminals that lack bars and ellipses."""

    def __init__(
        self, mode: str, steps: Mapping[str, tuple[str, ...]], now: float, ascii_only: bool = False, language: Language = ENGLISH
    ) -> None:
        self._language = language
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
            return describe(event, self._language) if event.step else ""
        if event.event == "difference":
            return None if self._planning else self._what(event)
        if event.event in ("progress", "log", "restored"):
            return describe(event, self._language)
        return "" if event.event in (*ENDED, "finished", "request") else None

    def _what(self, event: Event) -> str:
        return self._language.reported(str(event.data["what"]), event.data.get("code"), event.data.get("values", {}))

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
            more = self._language.plural("and {count} more active host", "and {count} more active hosts", hidden)
            found.append([(_cut(f"{self._dots} {more}", width, ""), "dim")])
        return [*found, self.counters(width, now)]

    def _line(self, one: Active, name_width: int, width: int, now: float) -> list[Part]:
        number = min(len(one.done) + 1, len(one.names))
        count = f"{number:>2}/{len(one.names):<2}" if one.names else f"{one.restored:>5}"
        step = one.step
        if step in STEP_WORDS:
            count, step = " " * len(count), self._language.word(step)
        took = f"{_clock(now - one.begun):>7}"
        parts = [(f"{_cut(one.name, name_width, self._dots):<{name_width}} ", "")]
        if width >= NARROW:
            parts += self._bar(one, 10 if width < WIDE else 20)
        parts += [(f"{count} ", ""), (folding.padded(step, 12), "cyan"), (took, "dim")]
        left = width - _columns(parts) - 2
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
        language = self._language
        parts = [(language.text("{done} of {total} done", done=ended, total=total), "bold")]
        for outcome in ("failed", "unreachable", "reboot", "stopped", "differs"):
            if count := self.outcomes[outcome]:
                parts.append((f", {count} {language.word(outcome)}", f"bold {COLORS[outcome]}"))
        left = self.left(now)
        time = [(f", {language.text('{time} left', time=left)}" if left else f", {_clock(now - self._begun)}", "")]
        rest = [(f", {language.plural('{count} active', '{count} active', len(self.active))}", "")]
        rest += [(f", {language.text('{count} waiting', count=waiting)}", "")] if waiting else []
        for chosen in ([*parts, *rest, *time], [*parts, *time]):
            if _columns(chosen) <= width:
                return chosen
        bad = sum(self.outcomes[outcome] for outcome in FAILED)
        done = (language.text("{done}/{total} done", done=ended, total=total), "bold")
        return _fit([done, *([(f", {bad} {language.word('failed')}", "bold red")] if bad else []), *time], width)

    def left(self, now: float) -> str:
        """Return about how long the run still takes, or "" while nobody can say."""
        total, ended = len(self._steps), self.outcomes.total()
        done = (ended + sum(one.share for one in self.active.values())) / total if total else 1.0
        passed = now - self._begun
        if not ended or ended == total or done < EARLY or passed < SOON:
            return ""
        return about(passed * (1 - done) / done, self._language)


def about(seconds: float, language: Language = ENGLISH) -> str:
    """Return a rough duration: "less than a minute", "about 4 min", "about 2 h 10 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return language.text("less than a minute")
    if minutes < 100:
        return language.text("about {minutes} min", minutes=minutes)
    return language.text("about {hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60 // 10 * 10)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _columns(parts: list[Part]) -> int:
    return sum(folding.width(text) for text, _ in parts)


def _cut(text: str, width: int, dots: str) -> str:
    """Return the text, cut off at a number of columns."""
    if folding.width(text) <= width:
        return text
    while text and folding.width(text) > width - len(dots):
        text = text[: -max(1, (folding.width(text) - width + len(dots)) // 2)]
    return text + dots


def _cut_words(text: str, width: int, dots: str) -> str:
    """Return the text, cut off after a word; only a word that is longer than half of the width is cut itself."""
    cut = _cut(text, width, dots)
    if cut == text or (not cut.isascii() and folding.width(cut) > len(cut) + len(dots)) or text[len(cut) - len(dots)] == " ":
        return cut
    words, space, _ = cut.rpartition(" ")
    return f"{words.rstrip(',;:')} {dots}" if space and len(words) + 1 + len(dots) <= width and len(words) >= width // 2 else cut


def _fit(parts: list[Part], width: int) -> list[Part]:
    """Return the parts, cut off at the width."""
    found = []
    for text, style in parts:
        shown = _cut(text, width, "")
        found.append((shown, style))
        width -= folding.width(shown)
    return [part for part in found if part[0]]
