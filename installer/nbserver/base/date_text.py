"""Text that ConvertFrom-Json of PowerShell 7 converts to a date. A setting with such a value would not arrive unchanged."""

from __future__ import annotations

import re

_DATE = re.compile(r"\s*\d{4}-\d\d-\d\dT")


def reads_like_date(text: str) -> bool:
    """Return whether text begins like a date and time, such as 2026-11-22T10:11:12."""
    return _DATE.match(text) is not None
