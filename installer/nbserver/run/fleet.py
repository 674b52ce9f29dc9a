"""Many hosts at once, each in a thread of its own; one that fails does not keep the others from going on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


def for_each(jobs: Mapping[str, Callable[[], T]], forks: int, stop: threading.Event, interrupted: Callable[[], None]) -> dict[str, T]:
    """Runs the jobs, at most `forks` at a time, and returns what each gave, in the order of `jobs`.

    The first Ctrl-C sets `stop`, calls `interrupted` and waits for the jobs, which look at it; jobs not yet begun see it at
    once. A second one raises KeyboardInterrupt. A job's exception is raised here, when the others are done: a job that must not
    cost the others their results raises none.
    """
    pool = ThreadPoolExecutor(max_workers=max(1, min(forks, len(jobs))), thread_name_prefix="host")
    futures: dict[str, Future[T]] = {name: pool.submit(job) for name, job in jobs.items()}
    try:
        try:
            _wait(list(futures.values()))
        except KeyboardInterrupt:
            stop.set()
            interrupted()
            _wait(list(futures.values()))
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return {name: future.result() for name, future in futures.items()}


def _wait(futures: Sequence[Future[T]]) -> None:
    """In short waits: on Windows a wait without end hears no Ctrl-C."""
    pending = set(futures)
    while pending:
        _, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
