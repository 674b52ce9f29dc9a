"""What a running script says: one JSON object per line. One schema for every script; docs/formats.md describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbserver.base import strict_json
from nbserver.base.plain_text import clean
from nbserver.events.fields import NAMES as NAMES
from nbserver.events.fields import VERSION, fault

LONGEST_LINE = 1_000_000  # characters
_COMMON = ("v", "n", "time", "step", "event")


class EventError(ValueError):
    """A line that is not an event, or an event that cannot come now. Its text is clean."""


@dataclass(frozen=True)
class Event:
    """One event. `n` counts from 1 within a run; `step` is "" for what concerns the whole run; `data` is the rest.

    Its texts are the host's own: clean them before a person sees them.
    """

    n: int
    time: str
    step: str
    event: str
    data: Mapping[str, Any]
    line: str

    def as_json(self) -> dict[str, Any]:
        """The object of the line."""
        return {"v": VERSION, "n": self.n, "time": self.time, "step": self.step, "event": self.event, **self.data}


def parse(line: str) -> Event:
    """One line of the stream, which must be exactly what the format says. Raises EventError."""
    value = read_object(line)
    if value.get("v") != VERSION:
        raise EventError(f"an event has version {clean(repr(value.get('v')), 40)}, this release knows {VERSION}")
    wrong = fault(value)
    if wrong is not None:
        raise EventError(f"an event is not valid: {wrong}: {_begin(line)}")
    n, time, step, name = (value[key] for key in _COMMON[1:])
    data = {key: item for key, item in value.items() if key not in _COMMON}
    return Event(n=n, time=time, step=step, event=name, data=data, line=line)


def read_object(line: str) -> dict[str, Any]:
    """The JSON object that a line in printable ASCII is: no key twice, no number but an integer of a usual size. Raises EventError."""
    if len(line) > LONGEST_LINE:
        raise EventError(f"a line is longer than {LONGEST_LINE:,} characters: {_begin(line)}")
    if not (line.isascii() and line.isprintable()):
        raise EventError(f"a line is not printable ASCII: {_begin(line)}")
    try:
        value = strict_json.loads(line)
    except (ValueError, RecursionError):
        raise EventError(f"a line is not valid JSON: {_begin(line)}") from None
    if not isinstance(value, dict):
        raise EventError(f"a line is not a JSON object: {_begin(line)}")
    return value


def _begin(line: str) -> str:
    return repr(clean(line, 120))


class EventOrder:
    """Checks that events come one after the other: a gap is a loss, a repetition is left out."""

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def accept(self, event: Event) -> bool:
        """True for the next event, False for one that was here before. Raises EventError where one is missing."""
        if event.n <= self.last:
            return False
        if event.n != self.last + 1:
            raise EventError(f"events {self.last + 1} to {event.n - 1} are missing")
        self.last = event.n
        return True
