"""Merge layers of settings, and find the layer that a value comes from. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from nbserver.settings.secret import SecretReference
from nbserver.settings.toml_lines import Key
from nbserver.settings.types import Settings


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge layers of settings; a later layer takes precedence. `layers` are not changed, and share their values with the result.

    Only tables of settings are merged: a reference to a secret is one value, so { file = ... } replaces { env = ... }.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            both = isinstance(value, Mapping) and isinstance(below, Mapping) and not is_reference(key)
            merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def is_reference(key: str) -> bool:
    """Return whether the value of this key is a reference to a secret."""
    return key == "key" or key.endswith("password")


def with_references(table: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with one `SecretReference` for each reference in it: all hosts that inherit it have the same object.

    So it can be known that hosts share a secret, which is then requested once. A reference that is not valid stays as it is.
    """
    found = dict(table)
    for key, value in table.items():
        if isinstance(value, Mapping) and is_reference(key):
            with suppress(ValidationError):
                found[key] = SecretReference.model_validate(value, context=dict(context))
        elif isinstance(value, Mapping):
            found[key] = with_references(value, context)
    return found


def overlap(one: Key, two: Key) -> bool:
    """Return whether one key is the other key or contains it."""
    shorter = min(len(one), len(two))
    return one[:shorter] == two[:shorter]


def of_model(settings: Mapping[str, Any], model: type[Settings]) -> dict[str, Any]:
    """Return the settings without the keys that `model` and its tables do not have."""
    found = {key: value for key, value in settings.items() if key in model.model_fields}
    for key, value in found.items():
        table = model.model_fields[key].annotation
        if isinstance(value, dict) and isinstance(table, type) and issubclass(table, Settings):
            found[key] = {inner: item for inner, item in value.items() if inner in table.model_fields}
    return found


def layer_of(location: Key, layers: Sequence[tuple[Key, Mapping[str, Any]]]) -> Key:
    """Return the last layer that has this key, or the longest part of the key that any layer has."""
    for length in range(len(location), 0, -1):
        having = [place for place, table in layers if has(table, location[:length])]
        if having:
            return having[-1]
    return layers[-1][0]


def has(value: Any, location: Key) -> bool:
    for part in location:
        if isinstance(value, list):
            value = dict(enumerate(value))
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True
