"""One run of a contender: how long it took, what it cost the controller, what it cost the hosts."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ssh.contenders import Contender
from tests.boxes.linux import control_groups
from tests.boxes.linux.host import LinuxBox

LONGEST = 1500.0  # seconds
EVERY = 0.05  # seconds between two looks at the memory


@dataclass(frozen=True)
class Run:
    """`wall` and `cpu` (user and system, of all that the command started, also what outlives it) in seconds; `host_cpu`
    the same of one host, on average; `memory` the most that the controller's processes held at a time, in bytes, their
    shared pages divided among those that share them; 0 where nobody looked."""

    wall: float
    cpu: float
    host_cpu: float
    memory: int


class ContenderError(Exception):
    """The contender did not find the hosts as they should be; the message has its last words."""


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    run: Run
    status: int
    output: str


def measure(contender: Contender, hosts: Iterable[LinuxBox], *, with_memory: bool = False) -> Run:
    """Runs a contender's command once, on hosts that it must find as they should be. Raises ContenderError.

    To look at the memory takes time from the contender: such a run counts for nothing else.
    """
    ended = watch(contender, list(hosts), with_memory=with_memory)
    if ended.status or not contender.passed(ended.output):
        raise ContenderError(f"{contender.name} ended with {ended.status}: {ended.output.strip()[-1500:]}")
    return ended.run


def watch(contender: Contender, hosts: list[LinuxBox], *, with_memory: bool = False) -> Ended:
    """The same, however it ends. All of the command's processes are in a control group of their own; none is left."""
    group = f"nbb-{os.getpid()}"
    memory = 0
    with tempfile.TemporaryFile() as output:
        before = sum(cpu_seconds(host.machine) for host in hosts)
        command = control_groups.command_in(group, *contender.command)
        try:
            began = time.monotonic()
            process = subprocess.Popen(
                command,
                cwd=contender.folder,
                env={**os.environ, **contender.variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            if with_memory:
                while process.poll() is None and time.monotonic() < began + LONGEST:
                    memory = max(memory, sum(proportional_size(pid) for pid in control_groups.processes(group)))
                    time.sleep(EVERY)
            try:
                status = process.wait(max(1.0, began + LONGEST - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise ContenderError(f"{contender.name} did not end within {LONGEST:.0f} s") from None
            wall = time.monotonic() - began
            cpu = cpu_seconds(group)
            host_cpu = (sum(cpu_seconds(host.machine) for host in hosts) - before) / len(hosts)
        finally:
            control_groups.end(group)
        output.seek(0)
        return Ended(Run(wall, cpu, host_cpu, memory), status, output.read().decode("utf-8", "replace"))


def cpu_seconds(group: str) -> float:
    """What all processes have used that are, or were, in a control group."""
    return usage((control_groups.folders(group)[-1] / "cpu.stat").read_text())


def usage(text: str) -> float:
    """Seconds, from the text of cpu.stat."""
    return int(dict(line.split() for line in text.splitlines())["usage_usec"]) / 1e6


def proportional_size(pid: int) -> int:
    """Bytes that a process has in memory (PSS); 0 when it has just ended."""
    try:
        return pss((Path("/proc") / str(pid) / "smaps_rollup").read_text())
    except OSError:
        return 0


def pss(text: str) -> int:
    """Bytes, from the text of smaps_rollup."""
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
