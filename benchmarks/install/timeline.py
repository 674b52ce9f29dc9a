"""What the time of an apply went into, from the events in its journal."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

ENDS = ("changed", "unchanged")


def timeline(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds by step, in the steps' order, and by `STEP: WHAT` for what a step told of its progress.

    A step lasts from the end of the one before it to its own `changed` or `unchanged`, the first one from the run's
    `started`. What was told lasts until the step tells something else, or ends. Events behind the last step count for none.
    """
    spent: dict[str, float] = {}
    parts: dict[str, float] = {}
    since = at(events[0])
    told, told_since = "", since
    for event in events:
        if event["event"] not in (*ENDS, "progress"):
            continue
        now = at(event)
        if told and (event["event"] in ENDS or event["what"] != told):
            name = f"{event['step']}: {told}"
            parts[name] = parts.get(name, 0.0) + now - told_since
            told = ""
        if event["event"] in ENDS:
            spent[event["step"]] = now - since
            spent.update(parts)
            since, parts = now, {}
        elif not told:
            told, told_since = event["what"], now
    return spent


def at(event: Mapping[str, Any]) -> float:
    """Seconds since 1970. An event's time has seven digits behind the point, one more than a datetime holds."""
    return datetime.datetime.fromisoformat(f"{event['time'][:26]}+00:00").timestamp()
