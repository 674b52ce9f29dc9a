"""A TOML file as plain values, with the line number of each value.

tomlkit parses and validates the file, but does not report lines. So a scan of the valid text finds the line of every key, table,
array element and key of an inline table.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import tomlkit
from tomlkit.exceptions import ParseError, TOMLKitError

from nbserver.base.errors import NbserverError
from nbserver.base.message import Message, message
from nbserver.settings import toml_text
from nbserver.settings.toml_definitions import Definitions

Key = tuple[str | int, ...]
"""The path to a value from the top of the document; a number is the index in an array, from 0."""


class Readable(Protocol):
    """A path, or package data with the same method."""

    def read_bytes(self) -> bytes: ...


@dataclass(frozen=True)
class TomlFile:
    """`name` is the file name for messages; `lines` are in the order of the file and count from 1."""

    name: str
    content: bytes
    values: dict[str, Any]
    lines: dict[Key, int]

    def line(self, key: Key) -> int:
        """Return the line of `key`, or of the nearest table around it that is in the file."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)

    def where(self, key: Key) -> str:
        return f"{self.name}:{self.line(key)}"


def read(path: Readable, error: type[NbserverError], *, name: str = "", missing: NbserverError | None = None) -> TomlFile:
    """Read a TOML file; raise `error` with file and line if it is missing, not UTF-8 or not TOML.

    `missing` is the error to raise instead if the file does not exist.
    """
    name = name or str(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise missing or error("file-missing", "the file does not exist", where=name) from None
    except OSError as reason:
        raise error("toml-unreadable", "could not read the file: {reason}", where=name, reason=reason.strerror) from None
    return parse(content, error, name=name)


def parse(content: bytes, error: type[NbserverError], *, name: str) -> TomlFile:
    """Parse the bytes of a TOML file like `read`. UTF-16, a byte order mark, and Windows line ends are accepted."""
    text = toml_text.decode(content, error, name=name)
    try:
        values = tomlkit.parse(text).unwrap()
        newer = toml_text.newer_escape(_texts(text))
        if newer:
            raise _invalid(error, name, *newer)
        return TomlFile(name, content, values, scan(text).lines)
    except ParseError as reason:
        raise _invalid(error, name, _line(reason, text), _explain(reason, text)) from None
    except RecursionError:
        raise error("toml-too-deep", "the tables or arrays are nested too deeply", where=name) from None
    except (TOMLKitError, ValueError) as reason:
        raise _invalid(error, name, min(scan(text).repeated, default=1), _explain(reason, text)) from None


def _invalid(error: type[NbserverError], name: str, line: int, reason: Message) -> NbserverError:
    return error("toml-invalid", "this is not valid TOML: {reason}", where=f"{name}:{line}", reason=reason)


def _texts(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each text in quotes of a valid TOML text, with its line and column."""
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "text":
            yield match.group(), text.count("\n", 0, match.start()) + 1, match.start() - text.rfind("\n", 0, match.start())


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


def _explain(reason: Exception, text: str) -> Message:
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
            "unexpected character at column {column} (text must be in quotes, and each line must be one `key = value`)",
            column=column,
        )
    if text.startswith(_ESCAPES):
        return toml_text.unknown_escape(column)
    if text.startswith("Control characters"):
        return message(
            "toml-quote-in-column",
            "unterminated string, or a string with a control character at column {column}",
            column=column,
        )
    if text in _PLAIN:
        return message("toml-fault-in-column", "{reason} at column {column}", reason=text[:1].lower() + text[1:], column=column)
    return message("toml-syntax-in-column", "syntax error at column {column}", column=column)


def _in_line(text: str) -> Message:
    if text.startswith("Unexpected character"):
        return message("toml-character", "unexpected character (text must be in quotes, and each line must be one `key = value`)")
    if text.startswith(_ESCAPES):
        return message(
            "toml-escape", "unknown escape sequence (in \"...\", write each backslash as \\\\; or use '...', where a backslash is literal)"
        )
    if text.startswith("Control characters"):
        return message("toml-quote", "unterminated string, or a string with a control character")
    if text in _PLAIN:
        return message("toml-fault", "{reason}", reason=text[:1].lower() + text[1:])
    return message("toml-syntax", "syntax error")


def _line(reason: ParseError, text: str) -> int:
    if _is_twice(re.sub(r" at line \d+ col \d+$", "", str(reason))):  # tomlkit often finds it lines later
        return min(scan(text).repeated, default=reason.line)
    if "\\x00" in str(reason) and "\0" not in text:
        return text.rstrip().count("\n") + 1
    return reason.line


_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r]+) | (?P<newline>\n) | (?P<comment>\#[^\n]*)
    | (?P<text> "{3}(?:\\[\s\S]|[^\\])*?"{3,5} | '{3}[\s\S]*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
    | (?P<mark>[\[\]{}=,.])
    | (?P<bare>[^\s\[\]{}=,.\#"']+)
    """,
    re.VERBOSE,
)


def scan(text: str) -> _Scan:
    """Find the lines of a valid TOML text; an invalid one may end the scan early. Raises RecursionError."""
    scan = _Scan(text)
    with contextlib.suppress(StopIteration):
        scan.document()
    return scan


class _Scan:
    def __init__(self, text: str) -> None:
        self.lines: dict[Key, int] = {}
        self._definitions = Definitions()
        self._length: dict[Key, int] = {}
        self._tokens = self._tokenize(text)
        self._kind, self._token, self._line = "", "", 1

    @staticmethod
    def _tokenize(text: str) -> Iterator[tuple[str, str, int]]:
        line = 1
        for match in _TOKEN.finditer(text):
            kind = str(match.lastgroup)
            if kind not in ("space", "comment"):
                yield kind, match.group(), line
            line += match.group().count("\n")

    @property
    def repeated(self) -> list[int]:
        """The lines of keys and tables that are defined a second time."""
        return self._definitions.repeated

    def _next(self) -> str:
        self._kind, self._token, self._line = next(self._tokens)
        return self._token

    def document(self) -> None:
        table: Key = ()
        while True:
            if self._next() == "[" and self._kind == "mark":
                table = self._header()
            elif self._kind != "newline":
                self._pair(table)

    def _header(self) -> Key:
        """Read `[name]` or `[[name]]`; a table in the path can be the last element of an array."""
        line = self._line
        array = self._next() == "["
        if array:
            self._next()
        key: Key = ()
        names = self._names("]")
        for name in names[:-1]:
            key = self._last((*key, name))
            self.lines.setdefault(key, line)
            self._definitions.above(key, line)
        key = (*key, names[-1])
        if not array:
            self._definitions.table(key, line)
            key = self._last(key)
            self.lines[key] = line  # overrides that of a key or table inside it, which may come first
            return key
        self._next()
        self._definitions.array(key, line)
        self.lines.setdefault(key, line)
        index = self._length.get(key, 0)
        self._length[key] = index + 1
        self.lines[(*key, index)] = line
        return (*key, index)

    def _last(self, key: Key) -> Key:
        return (*key, self._length[key] - 1) if key in self._length else key

    def _names(self, end: str) -> list[str]:
        """Read a dotted key up to the mark `end`; the current token is its first part."""
        names = []
        while self._token != end or self._kind != "mark":
            if self._kind == "bare":
                names.append(self._token)
            elif self._kind == "text":
                names.append(str(tomlkit.value(self._token).unwrap()))
            self._next()
        return names

    def _pair(self, table: Key) -> None:
        line = self._line
        names = self._names("=")
        for depth in range(1, len(names)):
            self.lines.setdefault((*table, *names[:depth]), line)
            self._definitions.dotted((*table, *names[:depth]), table, line)
        key = (*table, *names)
        self._definitions.value(key, line)
        self.lines[key] = line
        self._next()
        self._value(key)

    def _value(self, key: Key) -> None:
        """Skip a value, whose first token is the current one, and the rest of its line."""
        if self._kind == "mark" and self._token == "[":
            self._array(key)
        elif self._kind == "mark" and self._token == "{":
            self._inline_table(key)
        while self._kind != "newline" and not (self._kind == "mark" and self._token in ",]}"):
            self._next()

    def _array(self, key: Key) -> None:
        index = 0
        self._next()
        while self._token != "]" or self._kind != "mark":
            if self._kind == "newline" or self._token == ",":
                self._next()
                continue
            self.lines[(*key, index)] = self._line
            self._value((*key, index))
            index += 1
        self._kind = "end"

    def _inline_table(self, key: Key) -> None:
        self._next()
        while self._token != "}" or self._kind != "mark":
            if self._kind == "newline" or self._token == ",":
                self._next()
                continue
            self._pair(key)
        self._kind = "end"
