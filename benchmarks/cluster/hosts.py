"""The process of the simulated hosts: python -m benchmarks.cluster.hosts FOLDER COUNT SECONDS. It runs until its input is closed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.cluster.served_hosts import ServedHosts
from tests.simulated_fleet import STEPS, Fleet, Host


def serve(folder: Path, count: int, seconds: float) -> None:
    """Serve hosts on which nothing has to be changed, and each of which takes some seconds."""

    def works(host: Host, mode: str, number: int) -> None:
        if mode == "test" and number == 2:
            time.sleep(seconds)

    served = ServedHosts(folder)
    served.fleet = Fleet(folder, count)
    for host in served.fleet.hosts.values():
        host.done.update(STEPS)
        host.fault = works
    print(served.path, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
