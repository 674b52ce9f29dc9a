"""The results as one HTML page that needs nothing beside itself: bars for each number of hosts, where it was measured."""

from __future__ import annotations

from html import escape

from benchmarks.page_parts import Bar, chart, document, facts, table
from benchmarks.ssh.results import TITLES, Block, Results
from benchmarks.ssh.table import amount, spread

NOTES = {
    "wall time": "from the command's start to its end",
    "controller CPU": "user and system time of all processes of the command",
    "controller memory": "the most that they had at a time",
    "CPU of a host": "what the processes of one host took, on average",
}


def page(results: Results) -> str:
    """The whole page."""
    title = "Nothing to change on Linux hosts: what it costs to see that"
    parts = [
        f"<h1>{title}</h1>",
        "<p>Medians, taken in turns, on real booted hosts. The number behind a value is how many times that of the floor, plain ssh. "
        "Read the ratios, not the seconds: hosts and controller shared one small machine.</p>",
    ]
    for block in results.blocks:
        parts += _block(block)
    parts += [
        "<h2>What was compared</h2>",
        facts({row.name: row.what for row in results.blocks[0].rows}),
        "<h2>Where and with what</h2>",
        facts(results.facts),
        "<p class=quiet style='margin-top:28px'>What the numbers do not say is in docs/benchmarks.md.</p>",
    ]
    return document(title, parts)


def _block(block: Block) -> list[str]:
    hosts = f"{block.hosts} {'host' if block.hosts == 1 else 'hosts'}"
    return [
        *(
            f"<p class=quiet>{escape(row.name)} could not be measured on {hosts}: {escape(row.failure)}</p>"
            for row in block.rows
            if row.failure
        ),
        *(chart(f"{hosts}: {title}", NOTES[title], _bars(block, title)) for title in TITLES),
        table(["", "runs", "least and most wall time"], [[row.name, str(len(row.runs)), spread(row)] for row in block.measured]),
    ]


def _bars(block: Block, title: str) -> list[Bar]:
    return [
        Bar(
            row.name,
            row.median(title),
            amount(title, row.median(title)),
            "" if row is block.rows[0] else f"{block.ratio(row, title):.1f} \u00d7",
            first=row.name == "nbserver",
        )
        for row in block.measured
    ]
