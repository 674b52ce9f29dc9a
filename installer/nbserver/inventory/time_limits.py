"""The settings that limit how long a host may take: the same keys for every kind of host."""

from __future__ import annotations

from typing import Any

from pydantic import Field

LONGEST = 6 * 3600  # seconds
_SECONDS = f"a number of seconds from 1 to {LONGEST}"


def timeout() -> Any:
    """Return the field for the limit of a whole run on a host."""
    return Field(
        default=LONGEST,
        ge=1,
        le=LONGEST,
        title="How many seconds a run may take on the host, with connecting and restarts",
        description=f"{_SECONDS} (default: {LONGEST})",
    )


def step_timeout() -> Any:
    """Return the field for the limit of one step."""
    return Field(
        default=None,
        ge=1,
        le=LONGEST,
        title="How many seconds each step may take on the host (default: no limit other than timeout)",
        description=_SECONDS,
    )


def connect_retries() -> Any:
    """Return the field for the number of further attempts to connect."""
    return Field(
        default=None,
        ge=0,
        le=100,
        title="How often nbserver tries again if it cannot connect (default: 3 times, but only after an error that may pass by itself)",
        description="a whole number from 0 to 100",
    )
