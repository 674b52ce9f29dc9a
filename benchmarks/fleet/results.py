"""What came out: the medians of the runs with each number of hosts, and what a further host costs."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.columns import columns

Runs = Mapping[int, Sequence[Mapping[str, float]]]
"""For each number of hosts, in ascending order, what each run cost: wall and cpu in seconds, memory in bytes."""


def median(runs: Sequence[Mapping[str, float]], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def further_host(found: Runs, name: str) -> list[float | None]:
    """What each host costs that a row has more than the row before. The first row has none before it."""
    counts = list(found)
    more = [(median(found[count], name) - median(found[before], name)) / (count - before) for before, count in itertools.pairwise(counts)]
    return [None, *more]


def table(found: Runs, facts: Mapping[str, str]) -> str:
    """The medians by number of hosts, with the cost of a further host; then where it was measured."""
    cpu, memory = further_host(found, "cpu"), further_host(found, "memory")
    rows = [["hosts", "runs", "wall time", "controller CPU", "per further host", "controller memory", "per further host"]]
    for number, (count, runs) in enumerate(found.items()):
        per_cpu, per_memory = cpu[number], memory[number]
        rows.append(
            [
                f"{count:,}",
                str(len(runs)),
                f"{median(runs, 'wall'):.2f} s",
                f"{median(runs, 'cpu'):.2f} s",
                "" if per_cpu is None else f"{per_cpu * 1000:.1f} ms",
                f"{median(runs, 'memory') / 1e6:.0f} MB",
                "" if per_memory is None else f"{per_memory / 1000:.0f} kB",
            ]
        )
    lines = [f"{name}: {value}" for name, value in facts.items()]
    return "\n".join(["plan of simulated hosts, nothing to change: medians", "", columns(rows), "", *lines, ""])
