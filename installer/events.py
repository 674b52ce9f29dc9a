"""What a running script says: one JSON object a line. One schema for every script; docs/formats.md describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 1
NAMES = frozenset(
    "started difference progress changed unchanged restored warning failed finished log request".split(),
)
_COMMON = ("v", "n", "time", "step", "event")


class EventError(ValueError):
    """A line that is no event, or an event that cannot come now."""


@dataclass(frozen=True)
class Event:
    """One event. `n` counts from 1 within a run; `step` is "" for what concerns the whole run; `data` is the rest."""

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
    """One line of the stream. Raises EventError."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise EventError(f"a line is no JSON: {line[:120]!r}") from None
    if not isinstance(value, dict):
        raise EventError(f"a line is no JSON object: {line[:120]!r}")
    if value.get("v") != VERSION:
        raise EventError(f"an event has version {value.get('v')!r}, this release knows {VERSION}")
    n, time, step, name = (value.get(key) for key in _COMMON[1:])
    if type(n) is not int or n < 1 or not isinstance(time, str) or not isinstance(step, str) or not (isinstance(name, str) and name in NAMES):
        raise EventError(f"an event lacks n, time, step or a known name: {line[:120]!r}")
    data = {key: item for key, item in value.items() if key not in _COMMON}
    return Event(n=n, time=time, step=step, event=name, data=data, line=line)


class Sequence:
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
