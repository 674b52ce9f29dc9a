"""The results as plain text."""

from __future__ import annotations

from benchmarks.columns import columns
from benchmarks.ssh.results import TITLES, Block, Results, Row


def table(results: Results) -> str:
    """For each number of hosts medians with their ratios, and the spread; then who they are and where it was measured."""
    parts = []
    for block in results.blocks:
        parts += [
            f"{block.hosts} {'host' if block.hosts == 1 else 'hosts'}, nothing to change: medians; x is how many times the floor's (ssh)",
            _medians(block),
        ]
        parts += [f"{row.name} could not be measured: {row.failure}" for row in block.rows if row.failure]
    parts += [
        "\n".join(f"{row.name}: {row.what}" for row in results.blocks[0].rows),
        "\n".join(f"{name}: {value}" for name, value in results.facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _medians(block: Block) -> str:
    head = ["", "runs", *(text for title in TITLES for text in (title, "x")), "least-most wall"]
    body = [
        [
            row.name,
            str(len(row.runs)),
            *(text for title in TITLES for text in (amount(title, row.median(title)), f"{block.ratio(row, title):.1f}")),
            spread(row),
        ]
        for row in block.measured
    ]
    return columns([head, *body])


def amount(title: str, value: float) -> str:
    """`1.23 s`, or `45 MB` of memory."""
    return f"{value / 1e6:.0f} MB" if title == "controller memory" else f"{value:.2f} s"


def spread(row: Row) -> str:
    """Of the wall time."""
    walls = row.values("wall time")
    return f"{min(walls):.2f}-{max(walls):.2f} s"
