"""Rules about the form of a file: what an auditor sees first, and what keeps a check from being overlooked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.linux.script_lines import Files, Rule, lines, without_quoted

COLUMNS = 120
TITLE_COLUMNS = 102
SENTENCE_COLUMNS = 90
FUNCTION_LINES = 40


def lines_fit(files: Files) -> Iterator[str]:
    for name, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > COLUMNS:
                yield f"{name}:{number}: {len(line)} columns, and at most {COLUMNS} are allowed"


def functions_fit(files: Files) -> Iterator[str]:
    for name, text in files.items():
        begin = 0
        for number, code in enumerate(without_quoted(text).splitlines(), 1):
            if re.match(r"\w+\(\) \{", code):
                begin = number
            if code.startswith("}") and begin:
                if number - begin + 1 > FUNCTION_LINES:
                    yield f"{name}:{begin}: a function of {number - begin + 1} lines, and at most {FUNCTION_LINES} are allowed"
                begin = 0


def a_file_begins_with_its_title(files: Files) -> Iterator[str]:
    """The title names the file, and one sentence says what the file does. The first file has the title of the body before it."""
    for name, text in files.items():
        found = text.splitlines()
        start = found.index("") + 1 if text.startswith("# ==== body") and "" in found else 0
        title, sentence, after, *_ = [*found[start:], "", "", ""]
        folder, stem = name.partition("/")[0], name.removesuffix(".sh").rpartition("/")[2]
        words = f"{ {'prelude': 'prelude: ', 'steps': 'step: '}.get(folder, '') }{stem}"
        if title != f"# ---- {words} ".ljust(TITLE_COLUMNS, "-"):
            yield f'{name}:{start + 1}: the first line is not "# ---- {words} ---..." with {TITLE_COLUMNS} columns'
        if not re.fullmatch(r"# \S.*\.", sentence) or len(sentence) > SENTENCE_COLUMNS:
            yield f"{name}:{start + 2}: the second line is not one sentence of at most {SENTENCE_COLUMNS} columns"
        if after.startswith("#"):
            yield f"{name}:{start + 3}: the sentence is followed by another comment, without an empty line"


def fail_is_on_a_separate_line(files: Files) -> Iterator[str]:
    """`fail` is the first word of its line, or follows `||`, or the pattern of a case."""
    for line in lines(files):
        if re.search(r"(\b(then|do|else)|&&|;(?!;)|\{)\s+fail\s", line.code):
            yield f"{line}: {line.code.strip()}"


RULES: tuple[Rule, ...] = (lines_fit, functions_fit, a_file_begins_with_its_title, fail_is_on_a_separate_line)
