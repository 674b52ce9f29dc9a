"""Fold long lines between words, where a terminal would cut a word in two."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Any

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
NARROWEST = 20  # columns: on a narrower terminal, nothing is folded


def for_stream(text: str, stream: Any) -> str:
    """Return the text as the stream shows it best: folded on a terminal, unless it is JSON, and unchanged in a file or a pipe."""
    columns = _columns(stream)
    if columns < NARROWEST or text.startswith(("{", "[")):
        return text
    return "\n".join(folded(line, columns) for line in text.split("\n"))


def folded(line: str, columns: int) -> str:
    """Return the line with line feeds between words, so that each part fits in the columns.

    The parts are indented like the last column of the line. A word that is longer than a line stays in one piece.
    """
    if _width(line) <= columns:
        return line
    words = re.split(r"( +)", line)  # words and the spaces between them, which can be many in a table
    indent = _indent(words, columns)
    if any(_width(word) > columns - indent for word in words):
        indent = 4
    parts, part = [], ""
    for space, word in zip(["", *words[1::2]], words[::2], strict=True):
        if part.strip() and _width(part + space + word) > columns:
            parts.append(part.rstrip())
            part = " " * indent + word
        else:
            part += space + word
    return "\n".join([*parts, part])


def _indent(words: list[str], columns: int) -> int:
    """Return where the text after the last gap of several spaces begins, in the left half of the terminal."""
    column, found = 0, 0
    for word in words:
        column += _width(word)
        if len(word) > 1 and word.isspace() and column <= columns // 2:
            found = column
    return found or 4


def _columns(stream: Any) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (AttributeError, OSError, ValueError):
        return 0


def _width(text: str) -> int:
    plain = _STYLE.sub("", text)
    return len(plain) if plain.isascii() else sum(1 + (unicodedata.east_asian_width(one) in "WF") for one in plain)
