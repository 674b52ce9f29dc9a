"""What the tests start hears signals, also where the tests themselves do not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import PYTHON_PATH

SIGNALS = ("SIGINT", "SIGQUIT", "SIGHUP")
IGNORED = "import signal, os, sys\nfor name in sys.argv[1].split():\n signal.signal(getattr(signal, name), signal.SIG_IGN)\n"
UNDER_NOHUP = IGNORED + "os.execv(sys.executable, [sys.executable, '-c', sys.argv[2]])\n"
STARTS = "import subprocess, sys\nfrom tests import signals\nsignals.heed()\nsubprocess.run(['cat', '/proc/self/status'], check=True)\n"


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc, which tells the signals that a process ignores")
def test_a_program_of_tests_under_nohup_hears_a_hangup_and_ctrl_c() -> None:
    command = [sys.executable, "-c", UNDER_NOHUP, " ".join(SIGNALS), STARTS]
    said = subprocess.run(command, env={"PYTHONPATH": PYTHON_PATH, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    ignored = int(dict(line.split(":\t") for line in said.stdout.splitlines())["SigIgn"], 16)
    assert not [name for name in SIGNALS if ignored >> (getattr(signal, name) - 1) & 1]
