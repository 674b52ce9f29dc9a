"""A limit for the whole time of an answer: the timeout of a socket restarts with each byte."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_PAUSE = 0.2  # seconds: on Windows, a long wait cannot be interrupted with Ctrl-C


def within(seconds: float, work: Callable[[], T], stop: threading.Event | None = None) -> T:
    """Return the result of the work, in a thread that is abandoned after the time limit, or when `stop` is set.

    Raises TimeoutError, and what the work raises.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    while thread.is_alive() and (left := until - time.monotonic()) > 0 and not (stop and stop.is_set()):
        thread.join(min(left, _PAUSE))
    for error in errors:
        raise error
    for result in results:
        return result
    raise TimeoutError
