"""JSON that every parser reads in the same way: plain UTF-8, no duplicate keys, only whole numbers, limited depth."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from nbserver.base.message import DescribedError

DEPTH = 20
_DIGITS = 20


def parse(data: bytes) -> Any:
    """Return the value. Raises ValueError with a message."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise DescribedError(
            "json-with-mark",
            "the file begins with a byte order mark, so a different program saved it; expected UTF-8 without a byte order mark",
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise DescribedError("json-not-plain-utf8", "the file is UTF-16 or contains null bytes; expected UTF-8 without a byte order mark")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DescribedError("json-not-utf8", "the text is not valid UTF-8 (byte {byte})", byte=error.start) from None
    try:
        value = loads(text, parse_int=_no_minus_zero)
    except json.JSONDecodeError as error:
        raise DescribedError(
            "json-invalid", "this is not valid JSON (line {line}, column {column})", line=error.lineno, column=error.colno
        ) from None
    except RecursionError:
        raise DescribedError("json-too-deep", "objects or arrays are nested more than {limit} levels deep", limit=DEPTH) from None
    _require_flat(value)
    _require_characters(value)
    return value


def loads(text: str, parse_int: Callable[[str], int] | None = None) -> Any:
    """Return the value of a text without duplicate keys, whose numbers are whole and of limited size. Raises ValueError, RecursionError."""
    return json.loads(text, object_pairs_hook=_object, parse_float=_no_number, parse_constant=_no_number, parse_int=parse_int or _whole)


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal. Unlike in Python, true does not equal 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _require_flat(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH + 1):
        level = [below for item in level for below in _inside(item)]
    if level:
        raise DescribedError("json-too-deep", "objects or arrays are nested more than {limit} levels deep", limit=DEPTH)


def _inside(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DescribedError("json-key-twice", 'the key "{key}" is defined twice in the same object', key=key)
        found[key] = value
    return found


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        _no_number(digits)
    return int(digits)


def _no_minus_zero(digits: str) -> int:
    return _no_number(digits) if digits == "-0" else _whole(digits)


def _no_number(_: str) -> NoReturn:
    raise DescribedError(
        "json-number-not-whole", "numbers must be plain whole numbers; fractions, exponents, -0, and very long numbers are not accepted"
    )


def _require_characters(value: Any) -> None:
    """Refuse lone surrogates: they are not characters and cannot be encoded as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise DescribedError("json-lone-surrogate", "the text contains a lone surrogate, which is not a valid character") from None
