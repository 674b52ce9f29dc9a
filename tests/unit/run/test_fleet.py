"""Many hosts at once: order, limits, and what Ctrl-C does."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from nbserver.run.fleet import for_each


def test_results_come_in_the_order_of_the_jobs_and_forks_is_a_limit() -> None:
    running, most, guard = 0, 0, threading.Lock()

    def job(number: int) -> int:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        time.sleep(0.02 * (5 - number))
        with guard:
            running -= 1
        return number

    jobs = {str(number): (lambda number=number: job(number)) for number in range(5)}
    assert for_each(jobs, 2, threading.Event(), pytest.fail) == {str(number): number for number in range(5)}
    assert most == 2


def test_a_defect_in_one_job_is_raised_when_the_others_are_done() -> None:
    done = threading.Event()

    def slow() -> None:
        time.sleep(0.1)
        done.set()

    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        for_each({"broken": broken, "slow": slow}, 2, threading.Event(), pytest.fail)
    assert done.is_set()


def test_ctrl_c_asks_the_jobs_to_stop_and_waits_for_them() -> None:
    stop = threading.Event()
    told = []

    def job() -> str:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        return "stopped" if stop.wait(20) else "never"

    assert for_each({"one": job}, 5, stop, lambda: told.append(True)) == {"one": "stopped"}
    assert told == [True]
