"""Read a bash script line by line, for the rules: without comments and without what is in single quotes.

It is simpler than the grammar of bash, and the scripts keep to what it understands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Files = Mapping[str, str]
Rule = Callable[[Files], Iterator[str]]


@dataclass(frozen=True)
class Line:
    file: str
    number: int
    code: str
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


def without_quoted(text: str) -> str:
    """Return the text with spaces for comments, single-quoted text, and strings of several lines. Each character keeps its place."""
    out, state, at, several = [], "", 0, False
    while at < len(text):
        char = text[at]
        if state == "'":
            out.append("'" if char == "'" else "\n" if char == "\n" else " ")
            state = "" if char == "'" else state
        elif state == "#":
            out.append("\n" if char == "\n" else " ")
            state = "" if char == "\n" else state
        elif char == "\\" and at + 1 < len(text):
            out.append("  " if text[at + 1] != "\n" else "\\\n")
            at += 1
        elif state == '"':
            out.append(" " if several and char not in '"\n' else char)
            state = "" if char == '"' else state
        else:
            out.append(" " if char == "#" and (at == 0 or text[at - 1] in " \n;") else char)
            several = char == '"' and "\n" in text[at + 1 : text.find('"', at + 1)]
            state = char if char in "'\"" else "#" if out[-1] == " " and char == "#" else state
        at += 1
    return "".join(out)


def lines(files: Files) -> Iterator[Line]:
    """Yield the lines. Those that a backslash continues are one line, with the number of the first one."""
    for name, text in files.items():
        function = ""
        continued = ""
        begin = 0
        for number, code in enumerate(without_quoted(text).splitlines(), 1):
            begin = begin if continued else number
            continued += code
            if continued.endswith("\\"):
                continued = continued[:-1]
                continue
            code, continued = continued, ""
            start = re.match(r"(\w+)\(\) \{", code)
            if start:
                function = start[1]
            yield Line(name, begin, code, function)
            if code.startswith("}"):
                function = ""


def functions(files: Files) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines(files):
        if line.function:
            found.setdefault(line.function, []).append(line)
    return found


_BEFORE = r"(?:^|[;&|({]|\$\(|<\(|\b(?:then|do|else|elif|if|while|until)\b|(?<!\S)!|[\w*'\" |-]\)(?= ))"
_COMMAND = re.compile(rf"{_BEFORE}\s*((?:[A-Za-z_]\w*(?:\[[^]]*\])?\+?=(?:(?!\$\()\S)*\s+)*)([A-Za-z_.][\w.-]*)(?=\s|$|;|\))")


def commands(line: Line) -> list[str]:
    """Return the words in this line that are names of commands. A string has none, except after `$(`."""
    code = re.sub(r"^(\s*|.*\bin )[\w' .*|:-]+\)(?=\s|$)", "; ", line.code)
    code = re.sub(r"\$\(\(.*?\)\)", "0", code)
    code = re.sub(r'"(?:[^"$]|\$(?!\())*"', '""', code)
    code = re.sub(r"\[\[(?:(?!\$\().)*?\]\]|\(\((?:(?!\$\().)*?\)\)|\$\{(?:(?!\$\()[^}])*\}", "_", code)
    code = re.sub(r"\b[A-Za-z_]\w*\+?=\(.*\)|\b(?:local|declare)( -\w+)? .*?(?=;|$)", "", code)
    code = re.sub(r"(?<![\w$-])(if|then|do|else|elif|while|until|!)(?=\s)", ";", code).replace('"$(', "$(").replace(')"', ")")
    found = [match[2] for match in _COMMAND.finditer(code)]
    return [word for word in found if not word.startswith("_") and "=" not in word]
