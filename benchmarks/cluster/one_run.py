"""One plan of the simulated hosts, in its own process, which prints what it took as JSON.

python -m benchmarks.cluster.one_run FOLDER FORKS OPTIONS, where OPTIONS is a JSON object; it is empty without a cluster
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from nbserver.inventory import reader
from nbserver.run import operation
from nbserver.run.options import Options
from nbserver.transports import connect
from nbserver.view.plain_lines import PlainLines
from tests.cluster.served_hosts import ServedTransport


def run(folder: Path, forks: int | None, given: dict[str, Any]) -> dict[str, float]:
    """Return the wall time and the processor time of this process in seconds. Raises RuntimeError if a host is not as it should be."""
    os.environ |= {"NOTEBOOK_PASSWORD": "correct horse battery", "XDG_STATE_HOME": str(folder / "state")}
    connect.connect_to = ServedTransport  # type: ignore[assignment]
    options = {name: Path(value) if name.startswith("scheduler_") else value for name, value in given.items()}
    inventory = reader.load(folder / "nbserver.toml")
    hosts = inventory.select(["all"])
    wall, cpu = time.monotonic(), time.process_time()
    results = operation.operate("test", inventory, hosts, Options(forks=forks, **options), None, PlainLines(lambda line: None))
    cost = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}
    if {result.outcome for result in results.values()} != {"ok"}:
        raise RuntimeError("a host is not ok")
    return cost


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]) or None, json.loads(sys.argv[3]))))
