"""The text of a TOML file: its encoding, and characters and escapes that cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nbserver.base.errors import NbserverError
from nbserver.base.message import Message, message
from nbserver.base.plain_text import is_invisible
from nbserver.base.text_encoding import utf_16

_OPEN_AFTER_ESCAPED_QUOTE = re.compile(r'"(?:[^"\\]|\\.)*\\"(?:[^"\\]|\\.)*')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def decode(content: bytes, error: type[NbserverError], *, name: str) -> str:
    """Return the text of a file in UTF-8 or, as Windows PowerShell writes it, in UTF-16, with or without a byte order mark.

    Raises `error` with file and line for any other encoding.
    """
    encoding = utf_16(content)
    try:
        text = content.decode(encoding or "utf-8-sig").removeprefix("\ufeff")
    except UnicodeDecodeError as reason:
        before = content[: reason.start].decode(encoding or "utf-8", "replace")
        raise error(
            "toml-not-utf8", "the text is not UTF-8", where=f"{name}:{before.count(chr(10)) + 1}", todo="Save the file as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise error(
            "toml-mixed-encodings",
            "the file changes from UTF-8 to UTF-16 on this line, or it is not a text file",
            where=f"{name}:{line}",
            todo="Save the file as UTF-8. In Windows PowerShell, append to files with Add-Content -Encoding UTF8 instead of >>",
        )
    return text


def newer_escape(texts: Iterable[tuple[str, int, int]]) -> tuple[int, Message] | None:
    """Return the line of the first escape that TOML 1.0 does not have, such as \\x, and the reason to refuse it.

    `texts` are the texts in quotes of a valid file, each with its line and column. tomlkit accepts the escapes of TOML 1.1, which
    silently change `"CORP\\xabel"`.
    """
    for text, line, column in texts:
        if not text.startswith('"'):
            continue
        for escape in _ESCAPE.finditer(text):
            if escape.group(1) in "xe":
                before = text[: escape.start()]
                in_line = before.rpartition("\n")[2]
                return line + before.count("\n"), unknown_escape(len(in_line) + (1 if "\n" in before else column))
    return None


def unknown_escape(column: int) -> Message:
    return message(
        "toml-escape-in-column",
        "unknown escape sequence at column {column} (in \"...\", write each backslash as \\\\; or use '...', where a backslash is literal)",
        column=column,
    )


def why_unexpected(words: str, text: str, line: int, column: int) -> Message | None:
    """Return what is probably wrong where tomlkit stopped with these words, or None if they are better. `column` is from 0."""
    lines = text.split("\n")
    if not 0 < line <= len(lines):
        return None
    here = lines[line - 1]
    character = here[column : column + 1]
    if character and is_invisible(character):
        return message(
            "toml-invisible-character",
            "invisible character {character} at column {column}: delete it, or replace it with a plain space",
            character=f"U+{ord(character):04X}",
            column=column + 1,
        )
    if character in ("\u201c", "\u201d", "\u201e", "\u2018", "\u2019"):
        return message(
            "toml-typographic-quote",
            "typographic quote at column {column}: write \" or ' instead",
            column=column + 1,
        )
    if words.startswith(("Control characters", "Unexpected end of file")) and _OPEN_AFTER_ESCAPED_QUOTE.search(_without_texts(here)):
        return message(
            "toml-quote-escaped",
            'unterminated string: \\" is an escaped quote and does not end the string (in "...", write each backslash as \\\\; or use \'...\', where a backslash is literal)',
        )
    return None


def _without_texts(line: str) -> str:
    return re.sub(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", "", line)
