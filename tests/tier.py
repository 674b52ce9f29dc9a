"""How much a test tries: enough to prove a behaviour, or, in the second tier (NBSERVER_TEST_FULL=1), everything there is."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

from hypothesis import HealthCheck, settings

FULL = os.environ.get("NBSERVER_TEST_FULL") == "1"
TIMES = 20 if FULL else 1
T = TypeVar("T")


def examples(count: int) -> settings:
    """As many examples of a property, and twenty times as many in the second tier."""
    return settings(max_examples=count * TIMES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def points(every: Iterable[T], *first: T) -> list[T]:
    """Every point of an interruption in the second tier; in the first one those where something else happens than at the point before."""
    found = list(every)
    assert set(first) <= set(found)
    return found if FULL else list(first)
