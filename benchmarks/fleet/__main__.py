"""The command: runs a process for each number of hosts in turn, prints the table, and writes the JSON."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.fleet.results import table

CHECKOUT = Path(__file__).parents[2]


def main() -> int:
    """0, or 2 when a run failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description="What nbserver itself costs for many simulated hosts.")
    parser.add_argument("--hosts", type=_numbers, default=[1, 50, 500, 1000, 2000], metavar="N,...", help="numbers of hosts")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs with each number of hosts (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs as JSON as well")
    options = parser.parse_args()
    begin, load = datetime.datetime.now(datetime.UTC), os.getloadavg()[1]
    found: dict[int, list[dict[str, float]]] = {count: [] for count in options.hosts}
    for number in range(options.runs):
        for count, runs in found.items():
            print(f"run {number + 1} of {options.runs}, {count} hosts ...", file=sys.stderr, flush=True)
            done = _run(count)
            if done is None:
                return 2
            runs.append(done)
    facts = {
        "measured": f"{begin:%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"load average {load:.1f} over the five minutes before",
        "software": f"Python {platform.python_version()}",
    }
    print(table(found, facts), end="")
    if options.json:
        options.json.write_text(json.dumps({"v": 1, "facts": facts, "runs": found}, indent=1) + "\n", encoding="utf-8")
    return 0


def _run(count: int) -> dict[str, float] | None:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "installer")])}
    with tempfile.TemporaryDirectory(prefix="nbserver-benchmark-") as folder:
        command = [sys.executable, "-m", "benchmarks.fleet.one_run", folder, str(count)]
        done = subprocess.run(command, env=variables, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-3000:], file=sys.stderr)
        return None
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _numbers(text: str) -> list[int]:
    found = sorted({int(number) for number in text.split(",")})
    if not found or found[0] < 1 or found[-1] > 9999:
        raise argparse.ArgumentTypeError("numbers of hosts from 1 to 9999, with commas between them")
    return found


if __name__ == "__main__":
    sys.exit(main())
