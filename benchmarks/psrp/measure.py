"""One run of a contender: what it asked of the endpoint, how long it took, what it cost the workstation."""

from __future__ import annotations

import collections
import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.psrp.contenders import Contender
from tests.boxes.winrm.endpoint import Endpoint

OPERATIONS = ("Create", "Command", "Send", "Receive", "Signal", "Delete")
LONGEST = 600.0  # seconds


@dataclass(frozen=True)
class Run:
    """`wall` and `cpu` (user and system, of the command and all that it waited for) in seconds; `counts` by the endpoint."""

    wall: float
    cpu: float
    counts: Mapping[str, int]

    @property
    def exchanges(self) -> int:
        """HTTP requests that reached the endpoint."""
        return self.counts["http"]

    @property
    def besides_output(self) -> int:
        """The same without those that wait for output."""
        return self.exchanges - self.counts["Receive"]

    def operations(self) -> dict[str, int]:
        """The exchanges by what they were for. `logon` is what authenticated a connection and carried no operation."""
        known = {name: self.counts[name] for name in OPERATIONS}
        return {"logon": self.exchanges - sum(known.values()), **known}


class ContenderError(Exception):
    """The contender did not find the host as it should be; the message has its last words."""


def measure(contender: Contender, endpoint: Endpoint) -> Run:
    """Runs a contender's command once. Raises ContenderError."""
    before = collections.Counter(endpoint.stats)
    with tempfile.TemporaryFile() as job, tempfile.TemporaryFile() as output:
        job.write(contender.job.encode())
        job.seek(0)
        began = time.monotonic()
        process = subprocess.Popen(
            contender.command,
            cwd=contender.folder,
            env={**os.environ, **contender.variables},
            stdin=job,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status, usage = _wait(process, began + LONGEST)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what is left of it after a time-out or Ctrl-C
        wall = time.monotonic() - began
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    counts = collections.Counter(endpoint.stats)
    counts.subtract(before)
    _let_end(endpoint)
    if status or not contender.passed(text):
        raise ContenderError(f"{contender.name} ended with {status}: {text.strip()[-1500:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, counts)


def _wait(process: subprocess.Popen[bytes], until: float) -> tuple[int, resource.struct_rusage]:
    """Exit code and resource usage, which for a process includes the children that it waited for.

    Raises ContenderError when it has not ended at `until`.
    """
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage
        if time.monotonic() > until:
            raise ContenderError(f"{process.args!r} did not end within {LONGEST:.0f} s")
        time.sleep(0.005)


def _let_end(endpoint: Endpoint) -> None:
    """Waits for the engines of a run to end, so that they do not count in the next one."""
    until = time.monotonic() + 15
    while time.monotonic() < until and (endpoint.wsman.shells or any(not engine.dead for engine in endpoint.engines)):
        time.sleep(0.1)
    endpoint.engines = [engine for engine in endpoint.engines if not engine.dead]
