"""The command: installs on fresh hosts, with uv and pip in turns, prints the table and writes the JSON."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import signal
import sys
from pathlib import Path

from benchmarks.install.installation import Installation, install
from benchmarks.install.results import Results, table
from tests.boxes.artifacts import cache_folder, linux_wheels
from tests.boxes.linux.base import DEBIAN, build
from tests.boxes.linux.lab import LinuxLab, lacks
from tests.boxes.mirror import Mirror
from tests.conftest import LOCK

LINUX_LOCK = LOCK.with_name("linux.txt")


def main() -> int:
    """0, or 2 when nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.install", description="From a bare Debian host to the first drawn plot.")
    parser.add_argument(
        "--runs", type=int, default=3, metavar="N", help="installations with each of uv and pip, after one that does not count (3)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON as well")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs is at least 1")
    try:
        if words := lacks():
            raise LookupError(words)
        results = _benchmark(options.runs)
    except (LookupError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    print(table(results), end="")
    if options.json:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n", encoding="utf-8")
    return 0


def _benchmark(runs: int) -> Results:
    done: list[Installation] = []
    with LinuxLab(cache_folder()) as lab, Mirror(LINUX_LOCK, wheels=linux_wheels) as mirror:
        base = build(cache_folder(), DEBIAN)
        count = len(list(mirror.wheels.glob("*.whl")))
        size = sum(wheel.stat().st_size for wheel in mirror.wheels.glob("*.whl"))
        load = os.getloadavg()[1]
        # The first one fills what all of them find: apt's packages in the lab's cache, the wheels in this machine's memory.
        for turn, installer in enumerate(["uv", *order(runs)]):
            one = install(lab, base, mirror, installer)
            print(
                f"{turn or 'warm-up'}: {installer} {one.total:.1f} s, its packages {one.steps['packages']:.1f} s",
                file=sys.stderr,
                flush=True,
            )
            if turn:
                done.append(one)
        versions = sorted(
            match[0].replace("-", " ")
            for wheel in mirror.wheels.iterdir()
            if (match := re.match(r"(uv|notebook|numpy|matplotlib)-[0-9.]*[0-9]", wheel.name))
        )
    return Results(
        done,
        {
            "measured": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, load average {load:.1f} over the five minutes before",
            "packages": f"{count} wheels, {size / 1e6:.0f} MB ({', '.join(versions)}), from a mirror on the same machine",
            "host": "a Debian 12 host in a box on the same machine, freshly made for each installation: python3 without venv, no package lists",
        },
    )


def order(runs: int) -> list[str]:
    """uv and pip in turns; who comes first alternates too."""
    return [installer for turn in range(runs) for installer in (("pip", "uv") if turn % 2 else ("uv", "pip"))]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the hosts are removed then too
    sys.exit(main())
