"""The first page of a server: a notebook in the language of the settings, which a script writes into the folder for notebooks.

The texts are in welcome/LANGUAGE.md, the code is in welcome/cells.txt. A line `[NAME]` in a text stands for a cell with code.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any

_MARK = re.compile(r"\[(\w+)\]")
_CELL = re.compile(r"^# ---- (\w+)\n", re.MULTILINE)
_EMPHASIS = "*`"
_WITHOUT_SPACES = ("ja",)  # languages in which the end of a line is not a space


@cache
def first_page(language: str) -> str:
    """Return the notebook as JSON in ASCII, without single quotes and with a line feed at the end."""
    folder = resources.files("nbserver.render").joinpath("welcome")
    parts = _CELL.split(folder.joinpath("cells.txt").read_text("utf-8"))
    code = dict(zip(parts[1::2], parts[2::2], strict=True))
    text = folder.joinpath(f"{language}.md").read_text("utf-8")
    cells = [_cell(number, paragraph, code) for number, paragraph in enumerate(_paragraphs(text, language), 1)]
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1).replace("'", "\\u0027") + "\n"


def _paragraphs(text: str, language: str) -> list[list[str]]:
    """Return the lines of each cell: a line with a mark alone, or the paragraphs between two marks."""
    cells: list[list[str]] = [[]]
    for line in text.splitlines():
        if _MARK.fullmatch(line):
            cells += [[line], []]
        else:
            cells[-1].append(line)
    found = ["\n".join(lines).strip("\n").split("\n") for lines in cells]
    return [_joined(lines) if language in _WITHOUT_SPACES else _ended(lines) for lines in found if lines != [""]]


def _ended(lines: list[str]) -> list[str]:
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:]


def _joined(lines: list[str]) -> list[str]:
    """Return the lines so that those of a paragraph follow each other without a line feed, and with a space next to a Latin word."""
    return [_end(line, after) for line, after in pairwise(lines)] + lines[-1:]


def _end(line: str, after: str) -> str:
    if not (line and after):
        return f"{line}\n"
    beside = line.rstrip(_EMPHASIS)[-1:], after.lstrip(_EMPHASIS)[:1]
    is_mixed = all(character.isalnum() for character in beside) and beside[0].isascii() != beside[1].isascii()
    return f"{line} " if is_mixed else line


def _cell(number: int, lines: list[str], code: dict[str, str]) -> dict[str, Any]:
    mark = _MARK.fullmatch(lines[0])
    if mark is None:
        return {"cell_type": "markdown", "id": f"text-{number}", "metadata": {}, "source": lines}
    source = _ended(code[mark[1]].rstrip("\n").split("\n"))
    return {"cell_type": "code", "execution_count": None, "id": mark[1], "metadata": {}, "outputs": [], "source": source}
