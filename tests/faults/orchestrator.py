"""An orchestrator that can be killed: reads jobs, one JSON object a line, and runs each in a process of its own.

`python -m tests.faults.orchestrator INVENTORY`; a job has `runs` (a folder), `run` (its name), `operator` and `kill_at`: at this
event, when its journal has it, the process kills itself with SIGKILL. When it has ended, its status is printed.
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
from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHost
from nbserver.run.host_run import HostRun
from nbserver.run.journal import Journal
from nbserver.transports.psrp.transport import PsrpTransport
from tests.faults.small_script import small_script


def run(host: WindowsHost, job: dict[str, Any]) -> None:
    """Applies the small script until the event at which this process ends."""
    script, stop = small_script(host.name), threading.Event()

    def heard(name: str, event: Event) -> None:
        if event.n == job["kill_at"]:
            os.kill(os.getpid(), signal.SIGKILL)

    journal = Journal(Path(job["runs"]), job["run"], "apply", job["operator"])
    part = journal.host(script)
    host_run = HostRun(host, script, "apply", journal.run, part, heard)
    host_run.execute(lambda: PsrpTransport(host, os.environ["FAULTS_PASSWORD"], stop), job["operator"], {}, stop)


def main() -> None:
    import pypsrp.powershell
    import pypsrp.wsman  # noqa: F401  # loaded once, before the processes are made

    host = reader.load(Path(sys.argv[1])).hosts["win1"]
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(host, json.loads(line))
            os._exit(0)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
