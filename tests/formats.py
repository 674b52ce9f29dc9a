"""The formats that docs/formats.md describes, checked by the schemas in docs/schemas."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from installer.inventory_schema import json_schema

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
# The inventory's schema comes from the settings' own types.
KINDS = ("inventory", *sorted(path.stem for path in SCHEMAS.glob("*.json")))


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a format; `kind` is one of KINDS."""
    if kind == "inventory":
        return json_schema()
    found: dict[str, Any] = json.loads((SCHEMAS / f"{kind}.json").read_text(encoding="utf-8"))
    return found


def validate(kind: str, value: Any) -> None:
    """Raises AssertionError, which says where and why, unless `value` is what the format `kind` allows.

    `value` is parsed JSON or TOML: one event, one line of the record, a whole manifest; of an envelope the list of its lines.
    """
    error = best_match(_validator(kind).iter_errors(value))
    if error is not None:
        raise AssertionError(f"{kind}{error.json_path[1:]}: {error.message}")


@functools.cache
def _validator(kind: str) -> Draft202012Validator:
    files: Registry[Any] = Registry().with_resources(
        (path.name, Resource.from_contents(json.loads(path.read_text(encoding="utf-8")))) for path in SCHEMAS.glob("*.json")
    )
    return Draft202012Validator(schema(kind), registry=files)
