"""A TOML file as plain values, with the line number of each value.

tomllib parses the file; it is several times as fast as tomlkit, but does not say what is wrong. So tomlkit reads a text that tomllib
refuses, and a scan of the valid text finds the line of a value, when a message needs it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from nbserver.base.errors import NbserverError
from nbserver.base.message import Message
from nbserver.settings import toml_text
from nbserver.settings.toml_scan import TOKEN, scan

Key = tuple[str | int, ...]
"""The path to a value from the top of the document; a number is the index in an array, from 0."""


class Readable(Protocol):
    """A path, or package data with the same method."""

    def read_bytes(self) -> bytes: ...


@dataclass(frozen=True)
class TomlFile:
    """`name` is the file name for messages; `text` is the decoded content."""

    name: str
    content: bytes
    values: dict[str, Any]
    text: str

    @cached_property
    def lines(self) -> dict[Key, int]:
        """The lines of all keys, in the order of the file; they count from 1. None is known in a text that is nested too deeply."""
        try:
            return scan(self.text).lines
        except RecursionError:
            return {}

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
        raise error(
            "toml-unreadable",
            "could not read the file: {reason}",
            todo="Check that the file exists and that you can read it",
            where=name,
            reason=reason.strerror,
        ) from None
    return parse(content, error, name=name)


def parse(content: bytes, error: type[NbserverError], *, name: str) -> TomlFile:
    """Parse the bytes of a TOML file like `read`. UTF-16, a byte order mark, and Windows line ends are accepted."""
    text = toml_text.decode(content, error, name=name)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError):
        values = _by_tomlkit(text, error, name)
    newer = toml_text.newer_escape(_texts(text)) if "\\x" in text or "\\e" in text else None
    if newer:
        raise _invalid(error, name, *newer)
    return TomlFile(name, content, values, text)


def _by_tomlkit(text: str, error: type[NbserverError], name: str) -> dict[str, Any]:
    """Return the values of a text that tomllib refuses, or raise `error` with what is wrong. tomlkit reads newer TOML as well."""
    import tomlkit
    from tomlkit.exceptions import ParseError, TOMLKitError

    from nbserver.settings.toml_faults import explain, line_of

    try:
        return tomlkit.parse(text).unwrap()
    except ParseError as reason:
        raise _invalid(error, name, line_of(reason, text), explain(reason, text)) from None
    except RecursionError:
        raise error("toml-too-deep", "the tables or arrays are nested too deeply", where=name) from None
    except (TOMLKitError, ValueError) as reason:
        raise _invalid(error, name, min(scan(text).repeated, default=1), explain(reason, text)) from None


def _invalid(error: type[NbserverError], name: str, line: int, reason: Message) -> NbserverError:
    return error("toml-invalid", "this is not valid TOML: {reason}", where=f"{name}:{line}", reason=reason)


def _texts(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each text in quotes of a valid TOML text, with its line and column."""
    line, start = 1, 0  # of the current line
    for match in TOKEN.finditer(text):
        if match.lastgroup == "text":
            yield match.group(), line, match.start() - start + 1
        lines = match.group().count("\n")
        if lines:
            line, start = line + lines, match.start() + match.group().rindex("\n") + 1
