"""The processes of a cluster: a scheduler and workers, which a test can kill."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.checkout import CHECKOUT, PYTHON_PATH
from tests.cluster.certificates import Certificates
from tests.cluster.served_hosts import VARIABLE

ADDRESS = re.compile(r"Scheduler at:\s+(\S+)")


Machine = tuple[str, list[str]]


class Process:
    """A process with its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, variables: dict[str, str], where: Sequence[str] = ()) -> None:
        """`where` is what the command begins with if it runs elsewhere."""
        self.log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [*where, sys.executable, "-m", *command],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **variables},
                cwd=log.parent,
            )

    def wait_for(self, pattern: re.Pattern[str], seconds: float = 120) -> re.Match[str]:
        """What the process says."""
        until = time.monotonic() + seconds
        while not (found := pattern.search(self.log.read_text())):
            assert self._process.poll() is None and time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)
        return found

    def has_in_memory(self, *texts: bytes) -> list[bytes]:
        """Which of these are anywhere in the memory of the process."""
        found: set[bytes] = set()
        with Path(f"/proc/{self._process.pid}/mem").open("rb", buffering=0) as memory:
            for line in Path(f"/proc/{self._process.pid}/maps").read_text().splitlines():
                span, rights, *_ = line.split()
                begin, end = (int(number, 16) for number in span.split("-"))
                if not rights.startswith("rw"):
                    continue
                with contextlib.suppress(OSError, OverflowError):  # a part that is not there
                    memory.seek(begin)
                    data = memory.read(end - begin)
                    found.update(text for text in texts if text in data)
        return sorted(found)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def halt(self) -> None:
        """It answers nobody, and its connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()


class ClusterProcesses:
    """A scheduler of a test and its workers. `hosts` is the socket of the simulated hosts."""

    def __init__(
        self,
        folder: Path,
        hosts: Path | None = None,
        variables: dict[str, str] | None = None,
        threads: int = 4,
        machines: Sequence[Machine] = (),
    ) -> None:
        """`machines` are where the scheduler and each worker run: the address, and what a command there begins with."""
        folder.mkdir(exist_ok=True)
        self._threads = threads
        self.folder, self.hosts, self.certificates = folder, hosts, Certificates(folder / "certificates")
        self._variables = {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), PYTHON_PATH]), **(variables or {})}
        if hosts:
            self._variables[VARIABLE] = str(hosts)
        self._preload = ["--preload", "tests.cluster.served_hosts"] if hosts else []
        self.workers: list[Process] = []
        self._machines = list(machines) or [("127.0.0.1", [])] * 99
        address = ["--host", f"tls://{self._machines[0][0]}", "--port", "0", "--no-dashboard", "--no-show"]
        self.scheduler = self._start("scheduler", "distributed.cli.dask_scheduler", *address)
        self.address = self.scheduler.wait_for(ADDRESS)[1]

    def _start(self, role: str, module: str, *arguments: str, name: str = "") -> Process:
        files = self.certificates.folder
        tls = [
            "--tls-ca-file",
            str(self.certificates.ca),
            "--tls-cert",
            str(files / f"{role}.pem"),
            "--tls-key",
            str(files / f"{role}.key"),
        ]
        where = self._machines[len(self.workers) + 1 if name else 0][1]
        return Process([module, *tls, *arguments], self.folder / f"{name or role}.log", self._variables, where)

    def start_worker(self, resources: str = "", certificate: str = "worker") -> Process:
        """A further worker, which may not be ready yet."""
        name = f"worker-{len(self.workers) + 1}"
        local = ["--no-nanny", "--nthreads", str(self._threads), "--no-dashboard", "--local-directory", str(self.folder), "--name", name]
        more = ["--resources", resources] if resources else []
        worker = self._start(certificate, "distributed.cli.dask_worker", *local, *more, *self._preload, self.address, name=name)
        self.workers.append(worker)
        return worker

    def with_workers(self, *resources: str) -> ClusterProcesses:
        """One worker for each, all of which are ready."""
        for worker in [self.start_worker(resources=one) for one in resources]:
            worker.wait_for(re.compile(r"Registered to:"))
        return self

    def options(self) -> dict[str, object]:
        """The options of a run on this cluster."""
        files = self.certificates.folder
        return {
            "engine": "dask",
            "scheduler": self.address,
            "scheduler_ca": self.certificates.ca,
            "scheduler_cert": files / "client.pem",
            "scheduler_key": files / "client.key",
        }

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.close()
