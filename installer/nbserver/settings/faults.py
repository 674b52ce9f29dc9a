"""Turn the errors of pydantic into readable messages: what is wrong in a table, and what is expected instead.

A wrong value can be a secret in the wrong place. So a message only contains the location (file, line, table) and known words; it
never repeats a value, nor a key that is unknown.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nbserver.base.message import Described, Lines, Message, message, phrase
from nbserver.settings.toml_lines import Key
from nbserver.settings.types import Settings

FEW = 10  # names in a message
MOST = 100  # faults of a file in a message
Fault = tuple[Key, Message]
"""A location in the table, and the message. Known keys are the only text of the file in it."""


def faults(values: Any, model: type[BaseModel], context: Mapping[str, Any], *, missing: bool) -> list[Fault]:
    """Check a table and return its errors. Without `missing`, keys can be missing: another table may set them.

    The caller checks rules between settings, because it knows all tables.
    """
    try:
        model.model_validate(values, context=dict(context))
    except ValidationError as error:
        return [
            (tuple(details["loc"]), explain(details, model))
            for details in error.errors(include_url=False)
            if details["type"] not in ("default_factory_not_called", "contradiction") and (missing or details["type"] != "missing")
        ]
    return []


def explain(details: ErrorDetails, model: type[BaseModel]) -> Message:
    """Return `KEY: problem; expected ...` for one error of pydantic."""
    location = tuple(details["loc"])
    name = dotted(location)
    if details["type"] == "extra_forbidden":
        return unknown_key(location, model)
    return message("setting-invalid", "{key}: {reason}", key=name, reason=_problem(details, _description(model, location)))


def unknown_key(location: Key, model: type[BaseModel]) -> Message:
    key, table = str(location[-1]), _model_at(model, location[:-1])
    allowed = list(table.model_fields)
    near = [x for x in _dotted_names(model) if x.endswith(f".{key}")] or difflib.get_close_matches(key.lower(), allowed, 1)
    reason = unknown(near[0] if near else "", allowed)
    where = dotted(location if key in _known_keys(Settings) else location[:-1])
    return message("setting-invalid", "{key}: {reason}", key=where, reason=reason) if where else reason


def unknown(near: str, allowed: Iterable[str]) -> Message:
    """Return that a key is unknown. `near` is the valid key that was probably meant, if there is one."""
    keys = ", ".join(allowed)
    if near:
        return message("unknown-key-near", 'unknown key (did you mean "{near}"?); valid keys: {keys}', near=near, keys=keys)
    return message("unknown-key", "unknown key; valid keys: {keys}", keys=keys)


def is_unknown_key(fault: Message) -> bool:
    reason = fault.values.get("reason", fault) if fault.code == "setting-invalid" else fault
    return isinstance(reason, Message) and reason.code in ("unknown-key", "unknown-key-near")


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the word that was probably meant, or an empty string."""
    return next(iter(difflib.get_close_matches(word.lower(), list(words), 1)), "")


class Nearest:
    """Finds the word that was probably meant, but only for FEW different words: among 10,000 names, each search takes 0.2 s."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def of(self, word: str, words: Iterable[str]) -> str:
        """Return the word of `words`, which are the same in each call, or an empty string."""
        if word not in self._found and len(self._found) < FEW:
            self._found[word] = nearest(word, words)
        return self._found.get(word, "")


def few(names: Collection[str]) -> str | Message | None:
    """Return the names for a message: all of them, or the first ones and the number of the others; None without names."""
    shown = ", ".join(islice(names, FEW))
    more = len(names) - FEW
    return message("names-and-more", "{names}, and {count} more", names=shown, count=more) if more > 0 else shown or None


def in_file(name: str, faults: Sequence[tuple[int, Described]]) -> Lines:
    """Return the faults of a file, sorted by line. The first one has no place: it is the place of the error."""
    return in_files(name, [(name, line, reason) for line, reason in faults])


def in_files(name: str, faults: Sequence[tuple[str, int, Described]]) -> Lines:
    """Return the faults of several files, of which the first one has this name. Line 0 is an unknown line.

    Of many faults, the first ones are returned, and how many others there are.
    """
    (_, _, first), *others = faults
    shown = [
        message("fault-in-line", "{file}:{line}: {reason}", file=file, line=line, reason=reason)
        if line
        else message("fault-in-file", "{file}: {reason}", file=file, reason=reason)
        for file, line, reason in others[: MOST - 1]
    ]
    more = len(others) - len(shown)
    return Lines(
        [
            first,
            *shown,
            *([message("more-errors-in-file", "more errors in {file}, not shown: {count}", count=more, file=name)] if more else []),
        ]
    )


def dotted(key: Key) -> str:
    """Return a key in TOML notation; an index of an array counts from 1."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            bare = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else '"' + part.encode("unicode_escape").decode() + '"'
            text += f".{bare}" if text else bare
    return text


def kind(value: Any) -> Message:
    """Return the TOML type of a value in words, without the value."""
    for types_, name in (
        (bool, message("kind-boolean", "true or false")),
        (int, message("kind-whole-number", "a whole number")),
        (float, message("kind-decimal-number", "a decimal number")),
        (str, message("kind-text", "text")),
        (list | tuple, message("kind-array", "an array")),
        (dict, message("kind-table", "a table")),
    ):
        if isinstance(value, types_):
            return name
    return message("kind-date", "a date or time")


def _problem(details: ErrorDetails, description: str) -> Described:
    """Return what is wrong, followed by the `description` of what is expected, if there is one."""
    value, type_ = details["input"], details["type"]
    if type_ == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        text = message("number-not-text", "expected text, found a number: put the value in quotes")
        return (
            message("value-must-be", "{reason}; the value must be {expected}", reason=text, expected=phrase(description))
            if description
            else text
        )
    if type_ == "int_type" and isinstance(value, str) and re.fullmatch(r"\s*[0-9]+\s*", value, re.ASCII):
        number = message("text-not-number", "expected a number, found text: remove the quotes")
        return (
            message("value-must-be", "{reason}; the value must be {expected}", reason=number, expected=phrase(description))
            if description
            else number
        )
    outside = _outside(details, description)
    if outside is not None:
        return outside
    reason = _reason(details)
    if reason is not None:
        return (
            message("expected-after", "{reason}; expected {expected}", reason=reason, expected=phrase(description))
            if description
            else reason
        )
    if description:
        return message("kind-unexpected", "expected {expected}, found {kind}", expected=description, kind=kind(value))
    return message("kind-not-allowed", "{kind} is not allowed", kind=kind(value))


def _outside(details: ErrorDetails, description: str) -> Message | None:
    """Return that a word is not one of those that are allowed, or that a number is not in its range, and what is expected."""
    value, type_ = details["input"], details["type"]
    if type_ == "literal_error" and isinstance(value, str):
        words = str(details["ctx"]["expected"])
        near, expected = nearest(value, re.findall(r"'([^']*)'", words)), description or words
        if near:
            return message(
                "unknown-value-near", 'unknown value (did you mean "{near}"?); expected {expected}', near=near, expected=expected
            )
        return message("unknown-value", "unknown value; expected {expected}", expected=expected)
    if type_.startswith(("greater_than", "less_than")):
        return message("number-out-of-range", "the number is out of range; expected {expected}", expected=description or details["msg"])
    return None


def _reason(details: ErrorDetails) -> Described | None:
    """Return the problem of an error that says more than the type of the value."""
    type_ = details["type"]
    reason = details.get("ctx", {}).get("reason")
    if isinstance(reason, Described):
        return reason
    if type_ == "missing":
        return message("key-required", "this key is required")
    return None


def _model_at(model: type[BaseModel], location: Key) -> type[BaseModel]:
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _table(model.model_fields[part].annotation) or model
    return model


def _description(model: type[BaseModel], location: Key) -> str:
    names = [part for part in location if isinstance(part, str)]
    if not names:
        return ""  # the whole table: its reason is complete
    table = _model_at(model, tuple(names[:-1]))
    field = table.model_fields.get(names[-1])
    if field is None:
        return ""
    below = _table(field.annotation)
    if below and isinstance(location[-1], int):
        return ""
    return field.description or (f"a table with the keys {', '.join(below.model_fields)}" if below else "")


def _table(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a field that is a table, an optional table or an array of tables."""
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return next((found for found in map(_table, get_args(annotation)) if found), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _known_keys(model: type[Settings]) -> set[str]:
    """Return every key that any table can have."""
    return set(model.model_fields).union(*(_known_keys(below) for below in model.__subclasses__()))


def _dotted_names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        table = _table(field.annotation)
        for below in table.model_fields if table else ():
            yield f"{name}.{below}"
