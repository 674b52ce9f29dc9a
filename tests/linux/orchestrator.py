"""An orchestrator that can be killed: reads jobs, one JSON object a line, and runs each in a process of its own.

A job has `settings` of a host, `place` (of its small script), `runs` (a folder), `run` (its name), `operator` and `kill_at`: at
this event, when its journal has it, the process kills itself with SIGKILL. When it has ended, its status is printed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from nbserver.events.reader import Event
from nbserver.run.host_run import HostRun
from nbserver.run.journal import Journal
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets
from tests.boxes.ssh.fixtures import linux_host
from tests.linux.small_script import small_script


def run(job: dict[str, Any]) -> None:
    """Applies the small script until the event at which this process ends."""
    host = linux_host(**{**job["settings"], "key_file": Path(job["settings"]["key_file"])})
    script, stop = small_script(host.name, Path(job["place"])), threading.Event()

    def heard(name: str, event: Event) -> None:
        if event.n == job["kill_at"]:
            os.kill(os.getpid(), signal.SIGKILL)

    journal = Journal(Path(job["runs"]), job["run"], "apply", job["operator"])
    part = journal.host(script)
    HostRun(host, script, "apply", journal.run, part, heard).execute(
        lambda: connect_to(host, LogonSecrets(), stop), job["operator"], {}, stop
    )


def main() -> None:
    import asyncssh  # noqa: F401  # loaded once, before the processes are made

    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(json.loads(line))
            os._exit(0)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
