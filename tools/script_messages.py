"""Collects the messages of the scripts, by the forms of their calls. Neither PowerShell nor bash is needed.

A code and a text are always literals in single quotes; what has another form is not a message with a code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from nbserver.base.message import CODE
from tools.message_entry import Entry

_Value = Callable[[str], str]

# PowerShell: a literal, several of them added in parentheses, and the space between arguments (a backtick continues the line).
_PS_LITERAL = r"'(?:[^']|'')*'"
_PS_TEXT = rf"(?:{_PS_LITERAL}|\(\s*{_PS_LITERAL}(?:\s*\+\s*{_PS_LITERAL})*\s*\))"
_PS_GAP = r"(?:[ \t]|`\r?\n)+"
_PS_CODE = r"(?P<code>'[^'\n]*'|[a-z][a-z0-9-]*)"
_PS_CALLS = re.compile(
    rf"(?<![\w-])(?:"
    rf"(?:New-(?:Failure|CodedException)|Set-Found){_PS_GAP}{_PS_CODE}"
    rf"|Write-Notice{_PS_GAP}(?:'(?:warning|log)'|warning|log){_PS_GAP}{_PS_CODE.replace('<code>', '<notice>')}"
    rf"|Write-StepProgress{_PS_GAP}{_PS_CODE.replace('<code>', '<progress>')}"
    rf"|-Code{_PS_GAP}{_PS_CODE.replace('<code>', '<program>')}{_PS_GAP}-Text"
    rf"){_PS_GAP}(?P<text>{_PS_TEXT})"
)
_PS_EXPRESSION = r"(?:\$[\w.:]+|\([^()\n]*\)|\"[^\"\n]*\")"
_PS_DIFFERENCES = re.compile(
    rf"(?<![\w-])Add-Difference{_PS_GAP}{_PS_CODE}{_PS_GAP}(?P<text>{_PS_TEXT})"
    rf"(?:{_PS_GAP}(?:(?P<is>{_PS_LITERAL}|\$null\b)|{_PS_EXPRESSION}))?(?:{_PS_GAP}(?P<should>{_PS_LITERAL}|\$null\b))?"
)
_PS_DEFAULTS = re.compile(rf"\[string\]\$Code = {_PS_CODE},\s*\[string\]\$Text = (?P<text>{_PS_LITERAL})")
# An event that is written as JSON, because nothing else works there: its only value is an expression between two literals.
_PS_JSON = re.compile(r'"code":"(?P<code>[a-z0-9-]+)",[^}]*?"values":\{"(?P<name>\w+)":"[^}]*\}[^}]*?"text":"(?P<text>[^}]*)"\}\'')
_PS_STEPS = re.compile(rf"(?<![\w-])Add-Step{_PS_GAP}(?P<code>\w+){_PS_GAP}(?P<text>{_PS_LITERAL}){_PS_GAP}-")
_PS_COMMENTS = re.compile(r"<#.*?#>|^[ \t]*#[^\n]*", re.DOTALL | re.MULTILINE)

# bash: adjacent quoted pieces, also over lines, and the space between arguments (a backslash continues the line).
_SH_WORD = r"(?:'[^']*'|\\'|\"[^\"$`\\]*\"|(?<=['\"])\\\n(?=['\"]))+(?=[\s;|&)}]|\\\n(?!['\"])|\Z)"
_SH_GAP = r"(?:[ \t]|\\\n)+"
_SH_CODE = r"(?P<code>'[^'\n]*'|[a-z][a-z0-9-]*)"
_SH_EXPRESSION = r"(?:\"(?:\$\([^()\n]*\)|[^\"\n])*\"|\$\S+)"
_SH_CALLS = re.compile(
    rf"(?<![\w$.-])(?:(?:fail|problem|warn|note|met|write_finding \w+|report_progress|report_start|write_message (?:\w+|\"\$\w+\") \w+){_SH_GAP}{_SH_CODE}{_SH_GAP}"
    rf"|(?<=[ \t])--failure{_SH_GAP}{_SH_CODE.replace('<code>', '<program>')}\s+(?:\\\n)?[ \t]*)(?P<text>{_SH_WORD})"
)
_SH_DIFFERENCES = re.compile(
    rf"(?<![\w$.-])differs{_SH_GAP}{_SH_CODE}{_SH_GAP}(?P<text>{_SH_WORD})"
    rf"(?:{_SH_GAP}(?:(?P<is>{_SH_WORD})|{_SH_EXPRESSION}))?(?:{_SH_GAP}(?P<should>{_SH_WORD}))?"
)
_SH_DEFAULTS = re.compile(rf"(?<=[ \t])code={_SH_CODE} text=(?P<text>'[^'\n]*')")
_SH_STEPS = re.compile(rf"^[ \t]*step{_SH_GAP}(?P<code>\w+){_SH_GAP}(?P<text>'[^'\n]*')[ \t]*$", re.MULTILINE)
_SH_COMMENTS = re.compile(r"^[ \t]*#[^\n]*", re.MULTILINE)


def collect(folder: Path, checkout: Path) -> list[Entry]:
    """Return the messages of all scripts below `folder`."""
    found = []
    for path in sorted([*folder.rglob("*.ps1"), *folder.rglob("*.sh")]):
        read = of_powershell if path.suffix == ".ps1" else of_bash
        found += read(path.read_text("utf-8"), path.relative_to(checkout).as_posix())
    return found


def of_powershell(text: str, file: str) -> list[Entry]:
    """Return the messages of one PowerShell file."""
    text = _without(_PS_COMMENTS, text.replace("\r\n", "\n"))
    return sorted(
        [
            *_entries(_PS_CALLS, text, file, _powershell_value),
            *_differences(_PS_DIFFERENCES, text, file, _powershell_value),
            *_entries(_PS_DEFAULTS, text, file, _powershell_value),
            *_json(text, file),
            *_steps(_PS_STEPS, text, file, _powershell_value),
        ],
        key=lambda entry: entry.line,
    )


def of_bash(text: str, file: str) -> list[Entry]:
    """Return the messages of one bash file."""
    text = _without(_SH_COMMENTS, text)
    return sorted(
        [
            *_entries(_SH_CALLS, text, file, _bash_value),
            *_differences(_SH_DIFFERENCES, text, file, _bash_value),
            *_entries(_SH_DEFAULTS, text, file, _bash_value),
            *_steps(_SH_STEPS, text, file, _bash_value),
        ],
        key=lambda entry: entry.line,
    )


def _entries(pattern: re.Pattern[str], text: str, file: str, value: _Value) -> Iterator[Entry]:
    for found in pattern.finditer(text):
        code = next(found[name] for name in pattern.groupindex if name != "text" and found[name]).strip("'")
        if CODE.fullmatch(code):
            yield Entry(code, value(found["text"]), "", file, _line(text, found))


def _differences(pattern: re.Pattern[str], text: str, file: str, value: _Value) -> Iterator[Entry]:
    """Yield what differs, with the literal words that say what is and what should be."""
    for found in pattern.finditer(text):
        code = found["code"].strip("'")
        if CODE.fullmatch(code):
            words = tuple(value(found[name]) for name in ("is", "should") if found[name])
            yield Entry(code, value(found["text"]), "", file, _line(text, found), "difference", words)


def _steps(pattern: re.Pattern[str], text: str, file: str, value: _Value) -> Iterator[Entry]:
    """Yield the titles of steps. Their code is the name of the step after `step-`."""
    for found in pattern.finditer(text):
        yield Entry(f"step-{found['code'].replace('_', '-')}", value(found["text"]), "", file, _line(text, found), "step")


def _json(text: str, file: str) -> Iterator[Entry]:
    """Yield the messages of events that are written as JSON."""
    for found in _PS_JSON.finditer(text):
        joined = re.sub(r"'\s*\+\s*'", "", found["text"])
        yield Entry(found["code"], re.sub(r"' \+ [^']+ \+\s+'", f"{{{found['name']}}}", joined), "", file, _line(text, found))


def _powershell_value(source: str) -> str:
    return "".join(piece[1:-1].replace("''", "'") for piece in re.findall(_PS_LITERAL, source))


def _bash_value(source: str) -> str:
    pieces = re.findall(r"'[^']*'|\\'|\"[^\"]*\"", source)
    return "".join("'" if piece == "\\'" else piece[1:-1] for piece in pieces)


def _without(comments: re.Pattern[str], text: str) -> str:
    """Return the text without comments, with the same lines."""
    return comments.sub(lambda found: "\n" * found[0].count("\n"), text)


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1
