"""A run of `operate` on hosts with the small script, in a process that kills itself at a certain write, or between two of them.

`python -m tests.linux.fleet_run` reads jobs, one JSON object a line. A job has `inventory` (a file), `places` (a folder for each host),
`mode`, `resume` (a run's ID, or null for a new run), `runs`, and `kill_at`: the number of the write at which the process dies by SIGKILL,
half-way if it is odd, or 0 for a whole run. When it has ended, its status and the number of writes are printed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nbserver.base import append_file, atomic_file
from nbserver.commands import resume
from nbserver.inventory import reader
from nbserver.inventory.hosts import AnyHost
from nbserver.render import render
from nbserver.render.script import Script
from nbserver.run import growing_file, host_run, journal, operation
from nbserver.run.options import Options
from nbserver.run.result import Result
from nbserver.view.plain_lines import PlainLines
from tests.linux.small_script import small_script


def with_small_scripts(places: dict[str, str]) -> None:
    """Every host has the small script from now on, below its folder."""

    def render_all(hosts: Sequence[AnyHost]) -> list[tuple[Script, str]]:
        return [(small_script(host.name, Path(places[host.name])), "") for host in hosts]

    render.render_all = render_all  # type: ignore[assignment]
    host_run.REJOIN_PAUSES = (0.05, 0.2, 0.5)  # type: ignore[assignment]
    host_run.CONNECT_PAUSES = (0.0, 0.05, 0.2)  # type: ignore[assignment]


class Writes:
    """Counts what a run writes: each write has two points, before it and half-way."""

    def __init__(self, kill_at: int, count: Path) -> None:
        self.number, self._kill_at, self._count, self._lock = 0, kill_at, count, threading.Lock()
        write_bytes, opened = atomic_file.write_bytes, append_file.opened

        def atomic(path: Path, data: bytes, **more: Any) -> None:
            self.point(lambda: path.with_name(f".{path.name}.abcdefgh").write_bytes(data[: len(data) // 2]))
            write_bytes(path, data, **more)

        class Appending:
            def __init__(appending, path: Path) -> None:
                appending.path, appending.file = path, opened(path)

            def write(appending, data: bytes) -> int:
                self.point(lambda: (appending.file.write(data[: len(data) // 2]), appending.file.flush()))
                return appending.file.write(data)

            def flush(appending) -> None:
                appending.file.flush()

            def close(appending) -> None:
                appending.file.close()

            def __enter__(appending) -> Any:
                return appending

            def __exit__(appending, *given: Any) -> None:
                appending.close()

        atomic_file.write_bytes = atomic  # type: ignore[assignment]
        append_file.opened = Appending  # type: ignore[assignment]
        assert journal.atomic_file is atomic_file and growing_file.append_file is append_file

    def point(self, half: Callable[[], object]) -> None:
        with self._lock:
            self.number += 2
            self._count.write_text(str(self.number))
            if self._kill_at and self.number >= self._kill_at:
                if self._kill_at % 2:
                    half()
                os.kill(os.getpid(), signal.SIGKILL)


def run(job: dict[str, Any], count: Path) -> dict[str, Result]:
    with_small_scripts(job["places"])
    Writes(job["kill_at"], count)
    inventory = Path(job["inventory"])
    view = PlainLines(lambda line: None)
    if job["resume"]:
        return resume.resume(inventory, job["resume"], Path(job["runs"]), {}, None, view)[2]
    loaded = reader.load(inventory)
    return operation.operate(job["mode"], loaded, loaded.select(["*"]), Options(runs=Path(job["runs"])), None, view)


def main() -> None:
    import asyncssh  # noqa: F401  # loaded once, before the processes are made

    for line in sys.stdin:
        job = json.loads(line)
        count = Path(job["inventory"]).with_name("writes")
        count.write_text("0")
        child = os.fork()
        if not child:
            try:
                run(job, count)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        print(os.waitpid(child, 0)[1], count.read_text() or 0, flush=True)  # killed while it was written


if __name__ == "__main__":
    main()
