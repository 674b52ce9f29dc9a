"""Say why a text is not valid TOML, without the characters of the text: they could be part of a secret."""

from __future__ import annotations

import re

from tomlkit.exceptions import ParseError

from nbserver.base.message import Message, message
from nbserver.settings import toml_text
from nbserver.settings.toml_scan import scan

_ESCAPES = ("Invalid character", "Invalid unicode value")
# Messages of tomlkit that do not quote the file.
_PLAIN = frozenset(
    {
        "Empty key",
        "Empty table name",
        "Mixed types found in array",
        "Invalid number",
        "Invalid datetime",
        "Invalid date",
        "Invalid time",
        "Invalid number or date format",
        "Unexpected end of file",
        "Can't add a table to a dotted key",
    }
)


def explain(reason: Exception, text: str) -> Message:
    """Return the reason from tomlkit without the characters that it quotes: they could be part of a secret."""
    words = re.sub(r" at line \d+ col \d+$", "", str(reason)).rstrip(".")
    if isinstance(reason, ParseError):
        found = toml_text.why_unexpected(words, text, reason.line, reason.col)
        if found:
            return found
    if "\\x00" in words:
        return message("toml-ends-early", "the file ends within a value, a table name, or a key")
    if _is_twice(words):
        return message("toml-key-twice", "a key or table is defined twice")
    if re.fullmatch(r"TOML value nested more than \d+ levels deep", words):
        return message("toml-too-deep", "the tables or arrays are nested too deeply")
    column = getattr(reason, "col", None)
    return _in_column(words, column + 1) if column else _in_line(words)


def _is_twice(words: str) -> bool:
    return bool(re.fullmatch(r'Key ".*" already exists\.?|Redefinition of an existing table\.?', words, re.DOTALL))


def _in_column(text: str, column: int) -> Message:
    if text.startswith("Unexpected character"):
        return message(
            "toml-character-in-column",
            "unexpected character at column {column} (text must be in quotes, and each line must have the form key = value)",
            column=column,
        )
    if text.startswith(_ESCAPES):
        return toml_text.unknown_escape(column)
    if text.startswith("Control characters"):
        return message(
            "toml-quote-in-column",
            "unterminated string, or control character in a string, at column {column}",
            column=column,
        )
    if text in _PLAIN:
        return message("toml-fault-in-column", "{reason} at column {column}", reason=text[:1].lower() + text[1:], column=column)
    return message(
        "toml-syntax-in-column", "syntax error at column {column} (each line must have the form key = value or [table])", column=column
    )


def _in_line(text: str) -> Message:
    if text.startswith("Unexpected character"):
        return message("toml-character", "unexpected character (text must be in quotes, and each line must have the form key = value)")
    if text.startswith(_ESCAPES):
        return message(
            "toml-escape", "unknown escape sequence (in \"...\", write each backslash as \\\\; or use '...', where a backslash is literal)"
        )
    if text.startswith("Control characters"):
        return message("toml-quote", "unterminated string, or control character in a string")
    if text in _PLAIN:
        return message("toml-fault", "{reason}", reason=text[:1].lower() + text[1:])
    return message("toml-syntax", "syntax error (each line must have the form key = value or [table])")


def line_of(reason: ParseError, text: str) -> int:
    if _is_twice(re.sub(r" at line \d+ col \d+$", "", str(reason))):  # tomlkit often finds it lines later
        return min(scan(text).repeated, default=reason.line)
    if "\\x00" in str(reason) and "\0" not in text:
        return text.rstrip().count("\n") + 1
    return reason.line
