"""Times of events as whole numbers of 100 nanoseconds, which is how exactly events have them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from nbserver.language.language import ENGLISH, Language

TICKS = 10_000_000  # per second
_FORM = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\.([0-9]{7})Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ticks(text: object) -> int | None:
    """Return a time such as 2026-11-22T17:10:35.9526580Z in ticks since 1970, or None if it is not such a time."""
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    if not found:
        return None
    try:
        whole = datetime.fromisoformat(f"{found[1]}+00:00")
    except ValueError:  # the 31st of February
        return None
    return (whole - _EPOCH) // timedelta(seconds=1) * TICKS + int(found[2])


def shown(moment: int | None) -> str:
    """Return a time for a person, in UTC: 2026-11-22 17:10:35. It is empty if the time is not known."""
    return f"{_EPOCH + timedelta(seconds=moment // TICKS):%Y-%m-%d %H:%M:%S}" if moment is not None else ""


def duration(seconds: float, language: Language = ENGLISH) -> str:
    """Return a duration for a person: 0 s, 40 ms, 1.4 s, 12 s, 3 min 5 s, 2 h 3 min."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds else language.text("{seconds} s", seconds=0)
    if seconds < 9.95:
        return language.text("{seconds} s", seconds=f"{seconds:.1f}")
    whole = round(seconds)
    if whole < 60:
        return language.text("{seconds} s", seconds=whole)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return language.text("{minutes} min {seconds} s", minutes=minutes, seconds=rest)
    return language.text("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60)
