"""What came out: medians over a contender's runs, and how many times as much as nbserver they are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.psrp.measure import OPERATIONS, Run

# The promise: what one apply that finds nothing to change may ask of a host, beside waiting for output.
MOST_EXCHANGES = 10


@dataclass(frozen=True)
class Measure:
    """A column: its title, its unit ("" for a count)."""

    title: str
    unit: str

    def of(self, run: Run) -> float:
        return {
            "HTTP exchanges": float(run.exchanges),
            "besides output": float(run.besides_output),
            "wall time": run.wall,
            "controller CPU": run.cpu,
        }[self.title]

    def text(self, value: float) -> str:
        return f"{value:.2f} {self.unit}" if self.unit else f"{value:.0f}"


MEASURES = (Measure("HTTP exchanges", ""), Measure("besides output", ""), Measure("wall time", "s"), Measure("controller CPU", "s"))


@dataclass(frozen=True)
class Row:
    """A contender and its runs; none where it could not do the job, and `failure` says why."""

    name: str
    what: str
    runs: Sequence[Run]
    failure: str = ""

    def median(self, measure: Measure) -> float:
        return statistics.median(measure.of(run) for run in self.runs)

    def spread(self, measure: Measure) -> str:
        """Least and most, `1.90-2.40 s`; one value where they are the same."""
        least, most = (measure.text(pick(measure.of(run) for run in self.runs)) for pick in (min, max))
        return least if least == most else f"{least.split(' ')[0]}-{most}"

    def operations(self) -> dict[str, float]:
        """Median of each kind of exchange."""
        return {name: statistics.median(run.operations()[name] for run in self.runs) for name in ("logon", *OPERATIONS)}


@dataclass(frozen=True)
class Results:
    """`rows`, nbserver's first; `facts` are lines of where and with what."""

    rows: Sequence[Row]
    facts: Mapping[str, str]

    @property
    def measured(self) -> list[Row]:
        return [row for row in self.rows if row.runs]

    def ratio(self, row: Row, measure: Measure) -> float:
        """How many times nbserver's median."""
        return row.median(measure) / self.rows[0].median(measure)

    @property
    def most_of_nbserver(self) -> int:
        """Exchanges besides waiting for output, in the run of nbserver that had most."""
        return max(run.besides_output for run in self.rows[0].runs)

    @property
    def promise_kept(self) -> bool:
        return self.most_of_nbserver <= MOST_EXCHANGES

    @property
    def promise(self) -> str:
        said = "kept" if self.promise_kept else "BROKEN"
        return f"{said}: one nbserver apply made {self.most_of_nbserver} exchanges besides waiting for output; at most {MOST_EXCHANGES} are allowed"
