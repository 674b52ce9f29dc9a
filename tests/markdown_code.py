"""Which lines of a page are code, for tests of the text or of the code."""

from __future__ import annotations

import re


def code_lines(text: str) -> set[int]:
    """Return the numbers, from 0, of the lines in fences or indented: by four spaces, in a list by eight."""
    found: set[int] = set()
    fenced = in_list = code = False
    empty = True
    for number, line in enumerate(text.splitlines()):
        if line.startswith("```") or fenced:
            fenced = fenced != line.startswith("```")
            found.add(number)
            continue
        if not line.strip():
            empty = True
            continue
        indent = len(line) - len(line.lstrip(" "))
        if indent == 0:
            in_list = bool(re.match(r"(?:[-*]|\d+\.) ", line))
        code = indent >= (8 if in_list else 4) and (empty or code)
        if code:
            found.add(number)
        empty = False
    return found
