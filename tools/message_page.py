"""docs/messages.md as text: one table of messages for each system, and one of their parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools import python_messages, script_messages
from tools.message_entry import Entry

HEAD = """\
# Messages

Look up a message by its code. A code stays the same across releases, even if the text changes; so a program should
recognize an error by its code (see [Formats](formats.md#messages)).

`HOST` is the name of a host, and `WHERE` is another place: a file with its line, a folder, a URL, or a key. `{name}` is
a named value; it can be a message itself, such as the reason of an error. A message without a separate remedy says what
to do in its text. `{advice}` and `{ways}` are remedies that depend on the case. In a script, a difference names what
differs, and its values are words for the actual and the expected state, such as `absent`. A step names the state that
it ensures. `tools/messages` writes this page from the source; do not edit it.
"""
PARTS = """\
A part is never shown alone: it is a value of a message in the table above, such as the reason of an error or what to
do, or it follows the place of a fault, such as `nbserver.toml:7: hosts.web1.port: `, or it only joins other messages.

"""
WINDOWS_BOOTSTRAP = "ps_scripts/bootstrap.ps1"
MESSAGES, PARTS_OF = "Orchestrator", "Parts of the orchestrator's messages"
TABLE = "| Code | Message | {third} | Raised in |\n| --- | --- | --- | --- |\n"


def collect(root: Path) -> tuple[dict[str, list[Entry]], list[str]]:
    """Return the messages of a checkout, by heading, and the rules that they break."""
    found = python_messages.collect(root / "installer" / "nbserver", root)
    windows = script_messages.collect(root / "ps_scripts", root)
    systems = {
        MESSAGES: [entry for entry in found.entries if entry.kind != "part"],
        PARTS_OF: [entry for entry in found.entries if entry.kind == "part"],
        "Windows script": [entry for entry in windows if entry.file != WINDOWS_BOOTSTRAP],
        "Windows bootstrap": [entry for entry in windows if entry.file == WINDOWS_BOOTSTRAP],
        "Linux script": script_messages.collect(root / "linux_scripts", root),
    }
    separate = [entries for title, entries in systems.items() if title not in (MESSAGES, PARTS_OF)]
    shared = [f"two texts have the code {code}" for entries in (found.entries, *separate) for code in twice(entries)]
    return systems, [*found.faults, *shared]


def page(systems: Mapping[str, Sequence[Entry]]) -> str:
    """Return the page. `systems` maps each heading to its messages."""
    return HEAD + "".join(
        f"\n## {title}\n\n{PARTS if title == PARTS_OF else ''}{_table(title)}{''.join(row.line() for row in rows(entries))}"
        for title, entries in systems.items()
    )


def templates(systems: Mapping[str, Sequence[Entry]]) -> dict[str, dict[str, list[list[str]] | list[str]]]:
    """Return what translates the text of a message: the texts of each code with what to do, and the words of each difference."""
    texts: dict[str, list[list[str]]] = {}
    words: dict[str, list[str]] = {}
    for entry in (entry for title in systems for entry in sorted(systems[title])):
        known = texts.setdefault(entry.code, [])
        known += [pair for pair in [[entry.text, entry.remedy]] if pair not in known]
        for word in filter(None, entry.words):
            words.setdefault(entry.code, []).extend([word] if word not in words.get(entry.code, ()) else [])
    return {"texts": dict(sorted(texts.items())), "words": dict(sorted(words.items()))}


def _table(title: str) -> str:
    return TABLE.replace("{third}", "What to do" if title in (MESSAGES, PARTS_OF) else "Values (actual, expected)")


@dataclass
class Row:
    """One message, with all places where it arises."""

    code: str
    kind: str
    text: str
    remedy: str
    place: str = ""
    files: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def line(self) -> str:
        code = f"`{self.code}` ({self.kind})" if self.kind else f"`{self.code}`"
        last = _code_span(self.remedy) or ", ".join(_code_span(word or "absent") for word in self.words)
        text = f"{self.place}: {self.text}" if self.place else self.text
        return f"| {code} | {_code_span(text)} | {last} | {', '.join(map(_code_span, self.files))} |\n"


def rows(entries: Sequence[Entry]) -> list[Row]:
    """Return each message once, sorted by code."""
    found: dict[tuple[str, str, str, str], Row] = {}
    for entry in sorted(entries):
        key = (entry.code, entry.kind, entry.text, entry.remedy)
        row = found.setdefault(key, Row(*key, entry.place))
        row.files += [file for file in [entry.file] if file not in row.files]
        row.words += [word for word in entry.words if word not in row.words]
    return list(found.values())


def twice(entries: Sequence[Entry]) -> list[str]:
    """Return the codes that have two texts."""
    texts = {(entry.code, entry.kind.replace("part", ""), entry.text, entry.remedy) for entry in entries}
    codes = [code for code, *_ in texts]
    return sorted({code for code in codes if codes.count(code) > 1})


def _code_span(text: str) -> str:
    """Return text for a cell of a table, as code. A vertical bar needs a backslash there, even in a code span."""
    text = " ".join(text.split())
    if "`" in text:
        return re.sub(r"[\\`*_{}\[\]<>|&]", lambda found: f"&#{ord(found[0])};", text)  # not code: a span cannot contain its end
    return f"`{text}`".replace("|", "\\|") if text else ""
