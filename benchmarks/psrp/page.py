"""The results as one HTML page that needs nothing beside itself: bars as inline SVG, the tables, where it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.psrp.results import MEASURES, Measure, Results

NOTES = {
    "HTTP exchanges": "requests that reached the host's WinRM endpoint",
    "besides output": "the same without those that wait for output",
    "wall time": "from the command's start to its end",
    "controller CPU": "user and system time of the command on the workstation",
}
ROW, BAR, LABELS, BARS, VALUES = 34, 18, 118, 420, 150  # height of a row and of a bar; widths of the three parts
STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfa; --ink: #1c2024; --quiet: #5b6470; --line: #d9dcd8; --first: #1f6f8b; --other: #a9b3ba; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181b; --ink: #e8eaec; --quiet: #9aa4ae; --line: #343a40; --first: #4db6d6; --other: #5d6870; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 760px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; line-height: 1.25; margin: 0 0 12px; text-wrap: balance; }
h2 { font-size: 18px; margin: 36px 0 2px; }
p { margin: 0 0 10px; max-width: 66ch; }
.quiet, dt, figcaption { color: var(--quiet); font-size: 14px; }
figure { margin: 0; }
svg { display: block; width: 100%; height: auto; margin-top: 6px; }
svg text { font: 14px system-ui, sans-serif; fill: var(--ink); }
svg .value { font-variant-numeric: tabular-nums; }
svg .ratio { fill: var(--quiet); }
svg .first { fill: var(--first); }
svg .other { fill: var(--other); }
svg .axis { stroke: var(--line); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin-top: 10px; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 0 6px 16px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; }
th:first-child { text-align: left; padding-left: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 10px 0 0; font-size: 14px; }
dd { margin: 0; }
.promise { border-left: 4px solid var(--first); padding-left: 14px; margin-top: 20px; }
"""


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
        _table(
            ["", *(measure.title for measure in MEASURES)],
            [[row.name, *(row.spread(measure) for measure in MEASURES)] for row in results.measured],
        ),
        "<h2>HTTP exchanges by what they were for</h2>",
        _table(
            ["", *results.measured[0].operations()],
            [[row.name, *(f"{count:.0f}" for count in row.operations().values())] for row in results.measured],
        ),
        "<h2>What was compared</h2>",
        _list({row.name: row.what for row in results.rows}),
        "<h2>Where and with what</h2>",
        _list(results.facts),
        "<p class=quiet style='margin-top:28px'>What the numbers do not say is in docs/benchmarks.md.</p>",
    ]
    body = "\n".join(parts)
    return (
        "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport content='width=device-width, initial-scale=1'>\n"
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _chart(results: Results, measure: Measure) -> str:
    """A bar a contender, from nought, on a scale of its own."""
    rows = results.measured
    most = max(row.median(measure) for row in rows)
    width, height = LABELS + BARS + VALUES, ROW * len(rows)
    marks = [f"<line class=axis x1={LABELS} x2={LABELS} y1=0 y2={height} />"]
    for number, row in enumerate(rows):
        value = row.median(measure)
        length, top = value / most * BARS, number * ROW + (ROW - BAR) / 2
        text, kind = top + BAR / 2 + 5, "first" if number == 0 else "other"
        ratio = "" if number == 0 else f"<tspan class=ratio dx=8>{results.ratio(row, measure):.1f} \u00d7</tspan>"
        marks += [
            f"<text x=0 y={text}>{escape(row.name)}</text>",
            f"<rect class={kind} x={LABELS} y={top} width={length:.1f} height={BAR} rx=2 />",
            f"<text class=value x={LABELS + length + 8:.1f} y={text}>{measure.text(value)}{ratio}</text>",
        ]
    said = "; ".join(f"{row.name} {measure.text(row.median(measure))}" for row in rows)
    return (
        f"<figure><h2>{measure.title[0].upper() + measure.title[1:]}</h2><figcaption>{NOTES[measure.title]}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role=img aria-label="{escape(said)}">{"".join(marks)}</svg></figure>'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr><th scope=row>{escape(row[0])}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table></div>"


def _list(facts: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in facts.items())}</dl>"
