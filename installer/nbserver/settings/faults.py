"""Turn the errors of pydantic into readable messages: what is wrong in a table, and what is expected instead.

A wrong value can be a secret in the wrong place. So a message only contains the location (file, line, table) and known words; it
never repeats a value, nor a key that is unknown.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nbserver.settings.toml_lines import Key
from nbserver.settings.types import Settings

Fault = tuple[Key, str]
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


def explain(details: ErrorDetails, model: type[BaseModel]) -> str:
    """Return `KEY: problem; expected ...` for one error of pydantic."""
    location = tuple(details["loc"])
    name = dotted(location)
    if details["type"] == "extra_forbidden":
        return unknown_key(location, model)
    return f"{name}: {_problem(details, _description(model, location))}"


def unknown_key(location: Key, model: type[BaseModel]) -> str:
    key, table = str(location[-1]), _model_at(model, location[:-1])
    allowed = list(table.model_fields)
    near = difflib.get_close_matches(key.lower(), allowed, 1) or [x for x in _dotted_names(model) if x.endswith(f".{key}")]
    hint = f' (did you mean "{near[0]}"?)' if near else ""
    where = dotted(location if key in _known_keys(Settings) else location[:-1])
    return f"{where and f'{where}: '}unknown key{hint}; valid keys: {', '.join(allowed)}"


def nearest(word: str, words: Iterable[str]) -> str:
    """Return ` (did you mean "..."?)` or nothing."""
    near = difflib.get_close_matches(word.lower(), list(words), 1)
    return f' (did you mean "{near[0]}"?)' if near else ""


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


def kind(value: Any) -> str:
    """Return the TOML type of a value in words, without the value."""
    for types_, name in (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a decimal number"),
        (str, "text"),
        (list | tuple, "an array"),
        (dict, "a table"),
    ):
        if isinstance(value, types_):
            return name
    return "a date or time"


def _problem(details: ErrorDetails, description: str) -> str:
    """Return what is wrong, followed by the `description` of what is expected, if there is one."""
    value, type_ = details["input"], details["type"]
    expected = f"; expected {description}" if description else ""
    if type_ == "missing":
        return f"this key is required{expected}"
    if type_ in ("refused", "contradiction"):
        return f"{details['ctx']['reason']}{expected}"
    if type_ == "literal_error" and isinstance(value, str):
        allowed = re.findall(r"'([^']*)'", str(details["ctx"]["expected"]))
        return f"unknown value{nearest(value, allowed)}{expected}"
    if type_.startswith(("greater_than", "less_than")):
        return f"the number is out of range{expected}"
    if type_ == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"expected text, found a number: put it in quotes{f'; the value must be {description}' if description else ''}"
    if type_ == "int_type" and isinstance(value, str):
        return f"expected a number, found text: remove the quotes{f'; the value must be {description}' if description else ''}"
    return f"expected {description}, found {kind(value)}" if description else f"{kind(value)} is not allowed"


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
