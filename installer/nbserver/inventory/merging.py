"""Merge layers of settings, and find the layer that a value comes from. Pure functions."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from nbserver.settings.toml_lines import Key
from nbserver.settings.types import Settings


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge layers of settings; a later layer takes precedence. `layers` are not changed.

    Only tables of settings are merged: a reference to a secret is one value, so { file = ... } replaces { env = ... }.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            reference = key == "key" or key.endswith("password")
            both = isinstance(value, Mapping) and isinstance(below, Mapping) and not reference
            merged[key] = merge(below, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return merged


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
