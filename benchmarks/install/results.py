"""What came out: medians over the installations of each installer, their share of the whole, and pip's beside uv's."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.columns import columns
from benchmarks.install.installation import Installation

SHORTEST = 0.1  # seconds; a ratio of less says nothing
AROUND, VERIFY, TOTAL = "start, connect, end", "verify, with the picture", "bare host to first plot"


@dataclass(frozen=True)
class Results:
    """`facts` are lines of where and with what."""

    installations: Sequence[Installation]
    facts: Mapping[str, str]

    def of(self, installer: str) -> list[Installation]:
        return [one for one in self.installations if one.installer == installer]

    def medians(self, installer: str) -> dict[str, float]:
        """Seconds by row, in the table's order. Each row's own median: they need not add up to the total's."""
        runs = self.of(installer)
        names = list(dict.fromkeys(name for one in runs for name in one.steps))
        found = {AROUND: statistics.median(one.around for one in runs)}
        found |= {name: statistics.median(one.steps.get(name, 0.0) for one in runs) for name in names}
        found[VERIFY] = statistics.median(one.verify for one in runs)
        found[TOTAL] = statistics.median(one.total for one in runs)
        return found

    def as_json(self) -> dict[str, Any]:
        """{"v": 1, "facts": {}, "installations": [{"installer", "total", "around", "steps": {}, "verify"}]}, in seconds."""
        return {"v": 1, "facts": dict(self.facts), "installations": [asdict(one) for one in self.installations]}


def table(results: Results) -> str:
    """uv and pip beside each other; rows with a colon are parts of the step before the colon."""
    uv, pip = results.medians("uv"), results.medians("pip")
    names = [name for name in [*uv, *(name for name in pip if name not in uv)] if name not in (VERIFY, TOTAL)]
    # A part stands behind its step, also where only pip has it.
    first = [name.partition(": ")[0] for name in names]
    names.sort(key=lambda name: (first.index(name.partition(": ")[0]), ": " in name))
    rows = [["", "uv", "share", "pip", "share", "pip / uv"]]
    for name in [*names, VERIFY, TOTAL]:
        ratio = f"{pip[name] / uv[name]:.1f}" if min(uv.get(name, 0.0), pip.get(name, 0.0)) >= SHORTEST else ""
        label = f"  {name.partition(': ')[2]}" if ": " in name else name
        rows.append([label, *_cells(uv, name), *_cells(pip, name), ratio])
    parts = [
        f"Bare Debian 12 to the first plot: medians of {len(results.of('uv'))} installations with uv, {len(results.of('pip'))} with pip",
        columns(rows),
        "\n".join(
            f"{installer}: from {min(totals):.1f} to {max(totals):.1f} s, the step packages from {min(steps):.1f} to {max(steps):.1f} s"
            for installer in ("uv", "pip")
            for totals in [[one.total for one in results.of(installer)]]
            for steps in [[one.steps["packages"] for one in results.of(installer)]]
        ),
        "\n".join(f"{name}: {value}" for name, value in results.facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _cells(of: Mapping[str, float], name: str) -> list[str]:
    return [f"{of[name]:.1f} s", f"{of[name] / of[TOTAL]:.0%}"] if name in of else ["", ""]
