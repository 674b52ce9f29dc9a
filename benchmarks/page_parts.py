"""The parts of a benchmark's HTML page, which needs nothing beside itself: bars as inline SVG, tables, lists of facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

ROW, BAR, LABELS, BARS, VALUES = 34, 18, 134, 404, 150  # height of a row and of a bar; widths of the three parts
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


@dataclass(frozen=True)
class Bar:
    """`text` is the value as it is read, `ratio` what stands behind it; `first` is drawn in the page's colour."""

    name: str
    value: float
    text: str
    ratio: str = ""
    first: bool = False


def document(title: str, parts: Sequence[str]) -> str:
    """The whole page."""
    body = "\n".join(parts)
    return (
        "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport content='width=device-width, initial-scale=1'>\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def chart(title: str, note: str, bars: Sequence[Bar]) -> str:
    """A bar a contender, from nought, on a scale of its own."""
    most = max(bar.value for bar in bars)
    width, height = LABELS + BARS + VALUES, ROW * len(bars)
    marks = [f"<line class=axis x1={LABELS} x2={LABELS} y1=0 y2={height} />"]
    for number, bar in enumerate(bars):
        length, top = bar.value / most * BARS, number * ROW + (ROW - BAR) / 2
        text, kind = top + BAR / 2 + 5, "first" if bar.first else "other"
        ratio = f"<tspan class=ratio dx=8>{escape(bar.ratio)}</tspan>" if bar.ratio else ""
        marks += [
            f"<text x=0 y={text}>{escape(bar.name)}</text>",
            f"<rect class={kind} x={LABELS} y={top} width={length:.1f} height={BAR} rx=2 />",
            f"<text class=value x={LABELS + length + 8:.1f} y={text}>{escape(bar.text)}{ratio}</text>",
        ]
    said = "; ".join(f"{bar.name} {bar.text}" for bar in bars)
    return (
        f"<figure><h2>{escape(title[0].upper() + title[1:])}</h2><figcaption>{escape(note)}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role=img aria-label="{escape(said)}">{"".join(marks)}</svg></figure>'
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr><th scope=row>{escape(row[0])}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table></div>"


def facts(facts: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in facts.items())}</dl>"
