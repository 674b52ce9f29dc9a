"""Generated parts of a page: what is between `<!-- generated: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

PART = re.compile(r"(?P<begin><!-- generated: (?P<name>[^>]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def filled(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Return the page with each generated part as it should be. Raises KeyError for a part that nothing generates."""
    return PART.sub(lambda found: f"{found['begin']}\n{parts[found['name']]()}\n{found['end']}", text)


def names(text: str) -> list[str]:
    """Return the names of the generated parts of a page, in its order."""
    return [found["name"] for found in PART.finditer(text)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown. Cells are Markdown; `|` is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
