"""Run many hosts in parallel, each in its own thread. A failed host does not stop the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def for_each(jobs: Mapping[str, Callable[[], T]], forks: int, stop: threading.Event, interrupted: Callable[[], None]) -> dict[str, T]:
    """Run the jobs, at most `forks` at a time, and return their results in the order of `jobs`.

    The first Ctrl-C sets `stop`, calls `interrupted`, and waits for the jobs, which check `stop`. A second Ctrl-C raises
    KeyboardInterrupt, and the threads of the jobs keep the process alive. An exception of a job is raised once the others are done and discards their results, so a job should not
    raise.
    """
    pool = ThreadPoolExecutor(max_workers=max(1, min(forks, len(jobs))), thread_name_prefix="host")
    futures: dict[str, Future[T]] = {}
    try:
        try:
            for name, job in jobs.items():
                futures[name] = pool.submit(job)
            _wait(list(futures.values()))
        except KeyboardInterrupt:
            stop.set()
            interrupted()
            for name, job in jobs.items():
                if name not in futures:
                    futures[name] = pool.submit(job)  # a job that begins after `stop` ends at once, and has a result
            _wait(list(futures.values()))
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return {name: future.result() for name, future in futures.items()}


def _wait(futures: Sequence[Future[T]]) -> None:
    """Wait in short intervals: on Windows, an unlimited wait cannot be interrupted with Ctrl-C."""
    ended: SimpleQueue[Future[T]] = SimpleQueue()  # to look at all futures each time would take too long for thousands
    for future in futures:
        future.add_done_callback(ended.put)
    left = len(futures)
    while left:
        with suppress(Empty):
            ended.get(timeout=0.2)
            left -= 1
