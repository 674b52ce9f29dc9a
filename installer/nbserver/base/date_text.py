"""Texts that PowerShell 7's ConvertFrom-Json turns into a date: a setting that is one could not arrive as it was written."""

from __future__ import annotations

import re

_DATE = re.compile(r"\s*\d{4}-\d\d-\d\dT")


def reads_like_date(text: str) -> bool:
    """Whether a text begins like a date and time, as 2026-11-22T10:11:12 does."""
    return _DATE.match(text) is not None
