"""Workers and their CPUs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.one_cpu import cpu_of


def test_workers_take_turns() -> None:
    assert [cpu_of(f"gw{number}", {5, 2}) for number in range(4)] == [2, 5, 2, 5]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or "PYTEST_XDIST_WORKER" not in os.environ, reason="there are no workers")
def test_what_a_test_starts_stays_on_its_workers_cpu() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], capture_output=True, text=True, check=True
    ).stdout
    assert shown == f"{os.sched_getaffinity(0)}\n" and len(os.sched_getaffinity(0)) == 1
