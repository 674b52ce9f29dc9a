"""Times in UTC with whole seconds, such as 2026-11-29T00:10:00Z."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def text(time: datetime) -> str:
    """Return a time as text."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(value: str) -> datetime:
    """Return the time of a text in exactly this form. Raises ValueError."""
    if not _TIME.fullmatch(value):
        raise ValueError(value)
    return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)
