"""Workers and their CPUs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.checkout import CHECKOUT
from tests.one_cpu import cpu_of

STAYS = """
import subprocess, sys
from tests import one_cpu
one_cpu.stay("gw1")
sys.exit(subprocess.run([sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"]).returncode)
"""


def test_workers_take_turns() -> None:
    assert [cpu_of(f"gw{number}", {5, 2}) for number in range(4)] == [2, 5, 2, 5]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a process on a CPU so simply")
def test_what_a_worker_starts_stays_on_its_cpu() -> None:
    done = subprocess.run([sys.executable, "-c", STAYS], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert int(done.stdout) in os.sched_getaffinity(0)
