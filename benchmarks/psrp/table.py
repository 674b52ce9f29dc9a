"""The results as plain text."""

from __future__ import annotations

from benchmarks.columns import columns
from benchmarks.psrp.results import MEASURES, Results


def table(results: Results) -> str:
    """Medians with their ratios, the spread, the exchanges by what they were for, and where it was measured."""
    measured = results.measured
    runs = len(measured[0].runs)
    head = ["", *(title for measure in MEASURES for title in (measure.title, "x"))]
    body = [
        [row.name, *(text for measure in MEASURES for text in (measure.text(row.median(measure)), f"{results.ratio(row, measure):.1f}"))]
        for row in measured
    ]
    kinds = list(measured[0].operations())
    parts = [
        f"Nothing to change: medians of {runs} {'run' if runs == 1 else 'runs'} each; x is how many times nbserver's",
        columns([head, *body]),
        "Least and most",
        columns(
            [
                ["", *(measure.title for measure in MEASURES)],
                *([row.name, *(row.spread(measure) for measure in MEASURES)] for row in measured),
            ]
        ),
        "HTTP exchanges by what they were for (medians)",
        columns([["", *kinds], *([row.name, *(f"{count:.0f}" for count in row.operations().values())] for row in measured)]),
        "\n".join(f"{row.name}: {row.what}" for row in results.rows),
        *(f"{row.name} could not be measured: {row.failure}" for row in results.rows if row.failure),
        "\n".join(f"{name}: {value}" for name, value in results.facts.items()),
        results.promise,
    ]
    return "\n\n".join(parts) + "\n"
