"""The formats that docs/formats.md describes, checked by the schemas in docs/schemas."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from referencing import Registry, Resource

from nbserver.inventory.schema import json_schema
from tests.checkout import CHECKOUT

# Where rfc3987-syntax is installed, as Jupyter does, the import of jsonschema makes 38 grammars out of it, which takes seconds.
# They are for the format "iri", and no schema here uses one.
with patch.dict(sys.modules, {"rfc3987_syntax": None}):
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError, best_match
    from jsonschema.validators import extend

SCHEMAS = CHECKOUT / "docs" / "schemas"
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


def is_valid(kind: str, value: Any) -> bool:
    """Whether `value` is what the format `kind` allows."""
    return _validator(kind).is_valid(value)


def _pattern(validator: Any, pattern: str, value: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    """As ECMA 262 reads a pattern, which JSON Schema asks for: `$` is the end of the text, not what is before a last line feed."""
    if isinstance(value, str) and not re.search(re.sub(r"(?<!\\)\$", r"\\Z", pattern), value, re.ASCII):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


# An integer of these formats is written without a fraction: 1.0 is none.
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda checker, value: type(value) is int)
_Validator = extend(Draft202012Validator, {"pattern": _pattern}, type_checker=_TYPES)


@functools.cache
def _validator(kind: str) -> Any:
    files: Registry[Any] = Registry().with_resources(
        (path.name, Resource.from_contents(json.loads(path.read_text(encoding="utf-8")))) for path in SCHEMAS.glob("*.json")
    )
    return _Validator(schema(kind), registry=files)
