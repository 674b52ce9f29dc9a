"""One plan of simulated hosts that need no change, in a process of its own, which prints what it cost as JSON.

python -m benchmarks.fleet.one_run FOLDER HOSTS
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

from nbserver.run import operation
from nbserver.run.options import Options
from nbserver.transports import connect
from nbserver.view.plain_lines import PlainLines
from tests.simulated_fleet import STEPS, Fleet


def run(folder: Path, count: int) -> dict[str, float]:
    """Wall and CPU seconds, and the peak of memory in bytes, of reading the inventory and planning. Raises RuntimeError.

    The journals must have every event that the hosts have sent.
    """
    fleet = Fleet(folder, count)
    for host in fleet.hosts.values():
        host.done.update(STEPS)
    os.environ |= {"NOTEBOOK_PASSWORD": "correct horse battery", "XDG_STATE_HOME": str(folder / "state")}
    connect.connect_to = fleet.connect_to  # type: ignore[assignment]
    wall, cpu = time.monotonic(), time.process_time()
    inventory = fleet.inventory()
    view = PlainLines(lambda line: None)
    results = operation.operate("test", inventory, inventory.select(["all"]), Options(), None, view)
    cost = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}
    (journal,) = (path for path in (folder / "nbserver-runs").iterdir() if path.is_dir())
    for name, host in fleet.hosts.items():
        (sent,) = host.runs.values()
        if results[name].outcome != "ok" or (journal / name / "events.jsonl").read_text("utf-8").splitlines() != sent:
            raise RuntimeError(f"{name} is {results[name].outcome}, or its journal is not complete")
    return {**cost, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]))))
