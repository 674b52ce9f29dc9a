"""What came out: medians over a contender's runs, and how many times as much as the floor's they are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.ssh.measure import Run

TITLES = ("wall time", "controller CPU", "controller memory", "CPU of a host")


@dataclass(frozen=True)
class Row:
    """A contender and its runs; none where it could not do the job, and `failure` says why. `memory` in bytes."""

    name: str
    what: str
    runs: Sequence[Run]
    memory: int = 0
    failure: str = ""

    def values(self, title: str) -> list[float]:
        """Seconds, or bytes of memory."""
        if title == "controller memory":
            return [float(self.memory)]
        name = {"wall time": "wall", "controller CPU": "cpu", "CPU of a host": "host_cpu"}[title]
        return [getattr(run, name) for run in self.runs]

    def median(self, title: str) -> float:
        return statistics.median(self.values(title))


@dataclass(frozen=True)
class Block:
    """The rows of one number of hosts, the floor's first."""

    hosts: int
    rows: Sequence[Row]

    @property
    def measured(self) -> list[Row]:
        return [row for row in self.rows if row.runs]

    def ratio(self, row: Row, title: str) -> float:
        """How many times the floor's median."""
        return row.median(title) / self.rows[0].median(title)


@dataclass(frozen=True)
class Results:
    """`facts` are lines of where and with what."""

    blocks: Sequence[Block]
    facts: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """{"v": 1, "facts": {}, "blocks": [{"hosts", "rows": [{"name", "what", "failure", "memory", "runs": [{}], "ratios": {}}]}]}

        Seconds and bytes; `ratios` by title, of medians, to the first row.
        """
        return {
            "v": 1,
            "facts": dict(self.facts),
            "blocks": [{"hosts": block.hosts, "rows": [_row(block, row) for row in block.rows]} for block in self.blocks],
        }


def _row(block: Block, row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "what": row.what,
        "failure": row.failure,
        "memory": row.memory,
        "runs": [{"wall": run.wall, "cpu": run.cpu, "host_cpu": run.host_cpu} for run in row.runs],
        "ratios": {title: block.ratio(row, title) for title in TITLES} if row.runs else {},
    }
