"""Find the calls that report a message in a bash script, with their words as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.linux.script_lines import Files, without_quoted

# Function -> how many words are before the code.
REPORTING = {
    "fail": 0,
    "problem": 0,
    "warn": 0,
    "note": 0,
    "met": 0,
    "write_finding": 1,
    "report_start": 0,
    "report_progress": 0,
    "differs": 0,
    "write_message": 2,
}
_CALL = re.compile(rf"(?:^|[;&|({{)]|\b(?:then|do|else)\b)[^\S\n]*({'|'.join(REPORTING)})(?=\s)", re.MULTILINE)
_FAILURE = re.compile(r"(?<=\s)--failure(?=\s)")
_LITERAL = re.compile(r"(?:'[^']*'(?:\\\n)?)+")
# They pass on a code and a text of their callers; `difference` is replaced by differs.
_PASSING_ON = (("prelude/messages.sh", "prelude/findings.sh"), "difference()")


@dataclass(frozen=True)
class Message:
    """A call, from its code on. `function` is the name that is called, or --failure: then code, text, and the names of further values."""

    file: str
    number: int
    function: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


def messages(files: Files) -> Iterator[Message]:
    for name, text in files.items():
        if name in _PASSING_ON[0]:
            continue
        code = without_quoted(text)
        for found in _CALL.finditer(code):
            begin = text.rfind("\n", 0, found.start(1)) + 1
            is_argument = text[: max(begin - 1, 0)].endswith("\\") and not code[begin : found.start(1)].strip()
            if is_argument or _PASSING_ON[1] in text[:begin].rpartition("\n\n")[2]:
                continue
            words = tuple(_words(text, found.end(1)))[REPORTING[found[1]] :]
            yield Message(name, text.count("\n", 0, found.start(1)) + 1, found[1], words)
        for found in _FAILURE.finditer(code):
            words = tuple(_words(text, found.end()))
            names = tuple(after for word, after in pairwise(words) if word == "--value")
            yield Message(name, text.count("\n", 0, found.start()) + 1, "--failure", words[:2] + names)


def literal(word: str) -> str | None:
    """Return the text of a word in single quotes, which may be in pieces on several lines; None for any other word."""
    return "".join(re.findall(r"'([^']*)'", word)) if _LITERAL.fullmatch(word) else None


def _words(text: str, at: int) -> Iterator[str]:
    """Yield the words from here to the end of the command."""
    while True:
        while at < len(text) and (text[at] in " \t" or text.startswith("\\\n", at)):
            at += 2 if text[at] == "\\" else 1
        if at >= len(text) or text[at] in "\n;&|)#":
            return
        end = _end_of_word(text, at)
        yield text[at:end]
        at = end


def _end_of_word(text: str, at: int) -> int:
    while at < len(text) and text[at] not in " \t\n;&|)":
        if text[at] == "'":
            at = text.index("'", at + 1) + 1
        elif text[at] == '"':
            at = _end_of_string(text, at + 1)
        elif text[at] == "\\":
            at += 2
        elif text.startswith(("$(", "${"), at):
            at = _end_of_expansion(text, at + 2, ")" if text[at + 1] == "(" else "}")
        else:
            at += 1
    return at


def _end_of_string(text: str, at: int) -> int:
    while text[at] != '"':
        if text[at] == "\\":
            at += 2
        elif text.startswith(("$(", "${"), at):
            at = _end_of_expansion(text, at + 2, ")" if text[at + 1] == "(" else "}")
        else:
            at += 1
    return at + 1


def _end_of_expansion(text: str, at: int, close: str) -> int:
    opening = "(" if close == ")" else "{"
    depth = 1
    while depth:
        if text[at] == '"':
            at = _end_of_string(text, at + 1)
            continue
        if text[at] == "'" and close == ")":
            at = text.index("'", at + 1)
        depth += (text[at] == opening) - (text[at] == close)
        at += 2 if text[at] == "\\" else 1
    return at
