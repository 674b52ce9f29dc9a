"""The command: for each number of workers, starts a cluster, plans all hosts several times, and prints a table."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.columns import columns
from tests.cluster.processes import ClusterProcesses
from tests.cluster.served_hosts import VARIABLE

CHECKOUT = Path(__file__).parents[2]
VARIABLES = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "installer")])}


def main() -> int:
    """Return 0, or 2 if a run failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description="Simulated hosts on a Dask cluster on this machine.")
    parser.add_argument("--hosts", type=int, default=200, metavar="N", help="number of hosts (200)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 3], metavar="N", help="numbers of workers; 0 is no cluster")
    parser.add_argument(
        "--threads", type=int, default=10, metavar="N", help="threads of a worker, and hosts at a time without a cluster (10)"
    )
    parser.add_argument("--seconds", type=float, nargs="+", default=[0, 2], metavar="S", help="what each host takes (0 2)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs with each number of workers (3)")
    options = parser.parse_args()
    begin, load = datetime.datetime.now(datetime.UTC), os.getloadavg()[1]
    rows = [["seconds per host", "workers", "hosts at a time", "wall time", "hosts per minute", "workstation CPU per host"]]
    for seconds in options.seconds:
        for workers in options.workers:
            print(f"{workers} workers, {seconds:g} s per host ...", file=sys.stderr, flush=True)
            runs = _runs(options.hosts, seconds, workers, options.threads, options.runs)
            if not runs:
                return 2
            wall, cpu = (statistics.median(run[name] for run in runs) for name in ("wall", "cpu"))
            each = [f"{seconds:g}", str(workers or "no cluster"), str(options.threads * max(1, workers))]
            rows.append([*each, f"{wall:.2f} s", f"{options.hosts / wall * 60:,.0f}", f"{cpu / options.hosts * 1000:.1f} ms"])
    print(f"plan of {options.hosts} simulated hosts, nothing to change: medians of {options.runs} runs\n\n{columns(rows)}\n")
    print(f"measured: {begin:%Y-%m-%d %H:%M} UTC")
    print(
        f"machine: {os.cpu_count()} cores, {platform.system()} {platform.machine()}, load average {load:.1f} over the five minutes before"
    )
    print(f"software: Python {platform.python_version()}")
    return 0


def _runs(count: int, seconds: float, workers: int, threads: int, number: int) -> list[dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="nbserver-benchmark-") as name, _hosts(Path(name), count, seconds) as socket:
        folder, cluster = Path(name), None
        try:
            if workers:
                cluster = ClusterProcesses(folder / "cluster", socket, threads=threads).with_workers(*[""] * workers)
            return [one for one in (_run(folder, socket, cluster, threads) for _ in range(number)) if one]
        finally:
            if cluster:
                cluster.close()


def _run(folder: Path, socket: Path, cluster: ClusterProcesses | None, threads: int) -> dict[str, float] | None:
    options = {name: str(value) for name, value in cluster.options().items()} if cluster else {}
    command = [sys.executable, "-m", "benchmarks.cluster.one_run", str(folder), "0" if cluster else str(threads), json.dumps(options)]
    done = subprocess.run(command, env={**VARIABLES, VARIABLE: str(socket)}, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-3000:], file=sys.stderr)
        return None
    return dict(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def _hosts(folder: Path, count: int, seconds: float) -> Iterator[Path]:
    command = [sys.executable, "-m", "benchmarks.cluster.hosts", str(folder), str(count), str(seconds)]
    with subprocess.Popen(command, env=VARIABLES, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Path(process.stdout.readline().strip())


if __name__ == "__main__":
    sys.exit(main())
