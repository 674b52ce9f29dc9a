"""The index of a publisher, parsed as untrusted JSON: unexpected content is refused, with URL and location."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from nbserver.base.errors import DownloadError
from nbserver.base.message import DescribedError, Given, Message, cause, message

_OBJECT, _ARRAY, _TEXT = message("kind-object", "an object"), message("kind-array", "an array"), message("kind-text", "text")
_BOOLEAN = message("kind-boolean", "true or false")
_WHOLE_NUMBER, _NUMBER = message("kind-whole-number", "a whole number"), message("kind-number", "a number")
_NULL = message("kind-null", "null")
_KINDS = {dict: _OBJECT, list: _ARRAY, str: _TEXT, bool: _BOOLEAN, int: _NUMBER, float: _NUMBER}

_AFTER = "The catalog was not written. Run the command again. If it fails again, the publisher may have changed the format of the index: install a newer release of nbserver"


@dataclass(frozen=True)
class Table:
    """An object of the index. `url` is that of the index, `at` the path to the object, such as `versions[3]`, or "" for the top."""

    url: str
    at: str
    values: dict[str, Any]

    def refuse(self, code: str, template: str, /, **values: Given) -> DownloadError:
        """Return the error to raise for this object."""
        reason = message(code, template, todo="", **values)
        if self.at:
            return DownloadError(
                "index-entry-invalid",
                "{key}: {reason}",
                where=self.url,
                todo=_AFTER,
                key=self.at,
                reason=reason,
            )
        return DownloadError(
            "index-invalid",
            "could not use the index: {reason}",
            where=self.url,
            todo=_AFTER,
            reason=reason,
        )

    def text(self, key: str) -> str:
        return str(self._value(key, str, _TEXT))

    def number(self, key: str) -> int:
        return int(self._value(key, int, _WHOLE_NUMBER))

    def flag(self, key: str) -> bool:
        return bool(self._value(key, bool, _BOOLEAN))

    def table(self, key: str) -> Table:
        return Table(self.url, self._below(key), self._value(key, dict, _OBJECT))

    def tables(self, key: str) -> list[Table]:
        """Return an array that only contains objects."""
        found = []
        for number, value in enumerate(self._value(key, list, _ARRAY)):
            at = f"{self._below(key)}[{number}]"
            if not isinstance(value, dict):
                raise self.refuse("index-item-not-object", "{key}: expected an object, found {kind}", key=at, kind=_kind(value))
            found.append(Table(self.url, at, value))
        return found

    def sha256(self, key: str) -> str:
        """Return 64 hex digits in lower case."""
        text = self.text(key)
        if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
            raise self.refuse("index-hash-malformed", "{key}: expected 64 hex digits, found {text}", key=key, text=shown(text))
        return text.lower()

    def _value(self, key: str, type_: type, expected: Message) -> Any:
        if key not in self.values:
            raise self.refuse("index-key-missing", "{key} is missing", key=key)
        value = self.values[key]
        if type(value) is not type_:
            raise self.refuse("index-value-kind", "{key}: expected {expected}, found {kind}", key=key, expected=expected, kind=_kind(value))
        return value

    def _below(self, key: str) -> str:
        return f"{self.at}.{key}" if self.at else key


def parse(content: bytes, url: str) -> Table:
    """Parse the response of `url`: strict JSON (no duplicate keys, no NaN) with an object at the top. Raises DownloadError."""
    whole = Table(url, "", {})
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise whole.refuse("index-is-web-page", "expected an index in JSON, found a web page")
    try:
        value = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_no_key_twice, parse_int=_whole_number, parse_constant=_no_constant
        )
    except RecursionError:
        raise whole.refuse("index-too-deep", "objects or arrays are nested too deeply") from None
    except UnicodeDecodeError:
        raise whole.refuse("index-not-utf8", "the text is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise whole.refuse(
            "index-not-json",
            "this is not valid JSON: {reason} (line {line}, column {column})",
            reason=error.msg,
            line=error.lineno,
            column=error.colno,
        ) from None
    except ValueError as error:
        raise whole.refuse("index-json-refused", "the JSON is not valid: {reason}", reason=cause(error, 4000)) from None
    if not isinstance(value, dict):
        raise whole.refuse("index-not-object", "expected an object, found {kind}", kind=_kind(value))
    return Table(url, "", value)


def shown(text: str) -> str:
    """Return text from an index for a message: short, quoted, ASCII without control characters."""
    escaped = json.dumps(text[:120]).replace("\x7f", "\\u007f")
    return escaped if len(escaped) <= 122 else f'{escaped[:118]}..."'


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise DescribedError("index-json-key-twice", "the key {key} is defined twice in the same object", key=shown(twice))
    return values


def _whole_number(digits: str) -> int:
    if len(digits) > 18:
        raise DescribedError("index-json-number-too-long", "a number is too long ({count} digits)", count=len(digits))
    return int(digits)


def _no_constant(name: str) -> None:
    raise DescribedError("index-json-not-a-number", "{name} is not a valid number in JSON", name=name)


def _kind(value: Any) -> Message:
    return _KINDS.get(type(value), _NULL)
