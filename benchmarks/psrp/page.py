"""The results as one HTML page that needs nothing beside itself: bars, tables, where it was measured."""

from __future__ import annotations

from html import escape

from benchmarks.page_parts import Bar, chart, document, facts, table
from benchmarks.psrp.results import MEASURES, Measure, Results

NOTES = {
    "HTTP exchanges": "requests that reached the host's WinRM endpoint",
    "besides output": "the same without those that wait for output",
    "wall time": "from the command's start to its end",
    "controller CPU": "user and system time of the command on the workstation",
}


def page(results: Results) -> str:
    """The whole page."""
    runs = len(results.measured[0].runs)
    title = "Nothing to change: what it costs to see that"
    parts = [
        f"<h1>{title}</h1>",
        "<p>One Windows host that is set up, and the ways to see over WinRM that it is. Medians of "
        f"{runs} {'run' if runs == 1 else 'runs'} each, taken in turns. Read the ratios, not the seconds: everything ran on one small shared machine.</p>",
        *(f"<p class=quiet>{escape(row.name)} could not be measured: {escape(row.failure)}</p>" for row in results.rows if row.failure),
        *(_chart(results, measure) for measure in MEASURES),
        f"<p class=promise>Promise {escape(results.promise)}.</p>",
        "<h2>Least and most</h2>",
        table(
            ["", *(measure.title for measure in MEASURES)],
            [[row.name, *(row.spread(measure) for measure in MEASURES)] for row in results.measured],
        ),
        "<h2>HTTP exchanges by what they were for</h2>",
        table(
            ["", *results.measured[0].operations()],
            [[row.name, *(f"{count:.0f}" for count in row.operations().values())] for row in results.measured],
        ),
        "<h2>What was compared</h2>",
        facts({row.name: row.what for row in results.rows}),
        "<h2>Where and with what</h2>",
        facts(results.facts),
        "<p class=quiet style='margin-top:28px'>What the numbers do not say is in docs/benchmarks.md.</p>",
    ]
    return document(title, parts)


def _chart(results: Results, measure: Measure) -> str:
    bars = [
        Bar(
            row.name,
            row.median(measure),
            measure.text(row.median(measure)),
            "" if number == 0 else f"{results.ratio(row, measure):.1f} \u00d7",
            first=number == 0,
        )
        for number, row in enumerate(results.measured)
    ]
    return chart(measure.title, NOTES[measure.title], bars)
