"""Read the events of a running script: one JSON object per line, with one schema for every script (see docs/formats.md)."""

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
    """A line that is not an event, or an event that is out of order. The message is safe to print."""


@dataclass(frozen=True)
class Event:
    """One event. `n` counts from 1 within a run, `step` is "" for the whole run, and `data` has the other fields.

    The texts come from the host: clean them before they are shown.
    """

    n: int
    time: str
    step: str
    event: str
    data: Mapping[str, Any]
    line: str

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of the line."""
        return {"v": VERSION, "n": self.n, "time": self.time, "step": self.step, "event": self.event, **self.data}


def parse(line: str) -> Event:
    """Return the event of one line, which must match the format exactly. Raises EventError."""
    value = read_object(line)
    if value.get("v") != VERSION:
        raise EventError(f"an event has version {clean(repr(value.get('v')), 40)}; expected {VERSION}")
    wrong = fault(value)
    if wrong is not None:
        raise EventError(f"an event is not valid: {wrong}: {_begin(line)}")
    n, time, step, name = (value[key] for key in _COMMON[1:])
    data = {key: item for key, item in value.items() if key not in _COMMON}
    return Event(n=n, time=time, step=step, event=name, data=data, line=line)


def read_object(line: str) -> dict[str, Any]:
    """Return the JSON object of a line of printable ASCII, without duplicate keys and with only normal-sized integers. Raises EventError."""
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
    """Checks that events come in order: a gap is an error, and a repeated event is skipped."""

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def accept(self, event: Event) -> bool:
        """Return True for the next event, and False for a repeated one. Raises EventError if an event is missing."""
        if event.n <= self.last:
            return False
        if event.n != self.last + 1:
            raise EventError(f"events {self.last + 1} to {event.n - 1} are missing")
        self.last = event.n
        return True
