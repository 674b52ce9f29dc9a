"""Fold long lines between words, where a terminal would cut a word in two."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Any

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
NARROWEST = 20  # columns: on a narrower terminal, nothing is folded
# Between wide characters, a line may end anywhere, except before and after these: punctuation and small kana.
_NOT_FIRST = frozenset(
    "\u3001\u3002\uff1a\uff1f\uff09\u300d\u30fb\u30fc\u3063\u3083\u3085\u3087\u30a1\u30a3\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7.,:;)]}!?\"'"
)
_NOT_LAST = frozenset("\uff08\u300c([{\"'")


def for_stream(text: str, stream: Any, room: int = 0) -> str:
    """Return the text as the stream shows it best: folded on a terminal, unless it is JSON, and unchanged in a file or a pipe.

    `room` is how many columns each line leaves free, for an answer.
    """
    columns = columns_of(stream) - room
    if columns < NARROWEST or text.startswith(("{", "[")):
        return text
    return "\n".join(folded(line, columns) for line in text.split("\n"))


def folded(line: str, columns: int, indent: int | None = None) -> str:
    """Return the line with line feeds between words, so that each part fits in the columns.

    The parts are indented by `indent` columns, or like the last column of the line. A word that is longer than a line stays in one
    piece. In a language without spaces between words, a line may end between most characters.
    """
    if width(line) <= columns:
        return line
    words = _words(line)
    if indent is None:
        indent = _indent(words, columns)
        indent = 4 if any(width(word) > columns - indent for word in words) else indent
    parts, part = [], ""
    for space, word in zip(["", *words[1::2]], words[::2], strict=True):
        if part.strip() and width(part + space + word) > columns:
            parts.append(part.rstrip())
            part = " " * indent + word
        else:
            part += space + word
    return "\n".join([*parts, part])


def _words(line: str) -> list[str]:
    """Return the words and, between each two, the spaces, which can be many in a table, or none between wide characters."""
    words = re.split(r"( +)", line)
    if line.isascii():
        return words
    found = []
    for word in words:
        begin = 0
        for at in range(1, len(word)):
            if (_is_wide(word[at - 1]) or _is_wide(word[at])) and word[at] not in _NOT_FIRST and word[at - 1] not in _NOT_LAST:
                found += [word[begin:at], ""]
                begin = at
        found.append(word[begin:])
    return found


def _indent(words: list[str], columns: int) -> int:
    """Return where the text after the last gap of several spaces begins, in the left half of the terminal."""
    column, found = 0, 0
    for word in words:
        column += width(word)
        if len(word) > 1 and word.isspace() and column <= columns // 2:
            found = column
    return found or 4


def columns_of(stream: Any) -> int:
    """Return the width of the terminal, or 0 if the stream is not one."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (AttributeError, OSError, ValueError):
        return 0


def width(text: str) -> int:
    """Return how many columns a text takes on a terminal. Characters of Japanese take two, and colors none."""
    plain = _STYLE.sub("", text)
    return len(plain) if plain.isascii() else sum(1 + _is_wide(one) for one in plain if not unicodedata.combining(one))


def padded(text: str, columns: int) -> str:
    """Return the text with spaces at its end, so that it takes at least so many columns."""
    return text + " " * (columns - width(text))


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
