"""Find the line of every key, table, array element and key of an inline table in a valid TOML text. No parser reports them."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Iterator

from nbserver.settings.toml_definitions import Definitions, Key

TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r]+) | (?P<newline>\n) | (?P<comment>\#[^\n]*)
    | (?P<text> "{3}(?:\\[\s\S]|[^\\])*?"{3,5} | '{3}[\s\S]*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
    | (?P<mark>[\[\]{}=,.])
    | (?P<bare>[^\s\[\]{}=,.\#"']+)
    """,
    re.VERBOSE,
)


def scan(text: str) -> Scan:
    """Find the lines of a valid TOML text; an invalid one may end the scan early. Raises RecursionError."""
    found = Scan(text)
    with contextlib.suppress(StopIteration):
        found.document()
    return found


class Scan:
    def __init__(self, text: str) -> None:
        self.lines: dict[Key, int] = {}
        self._definitions = Definitions()
        self._length: dict[Key, int] = {}
        self._tokens = self._tokenize(text)
        self._kind, self._token, self._line = "", "", 1

    @staticmethod
    def _tokenize(text: str) -> Iterator[tuple[str, str, int]]:
        line = 1
        for match in TOKEN.finditer(text):
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
        if not names:
            raise StopIteration  # the text is not valid
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
                names.append(_name(self._token))
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


def _name(token: str) -> str:
    """Return the text of a key in quotes."""
    try:
        return str(tomllib.loads(f"name = {token}")["name"])
    except tomllib.TOMLDecodeError:  # an escape that only newer TOML has
        return token[1:-1]
