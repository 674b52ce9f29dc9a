"""The fields of every format, from docs/schemas: docs/formats.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.pages.parts import table

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
HEAD = ("Field", "Type", "Required", "Meaning")
HEX = "^[0-9a-f]{64}$"

Schema = dict[str, Any]


def fields(name: str, definition: str = "") -> str:
    """Return the table of a schema's fields, or of one of its definitions."""
    schema = load(name)
    start = schema["$defs"][definition] if definition else schema
    return table(HEAD, rows(start, schema, ""))


def events() -> str:
    """Return the table of all events with their further fields."""
    schema = load("event")
    common = set(schema["$defs"]["event"]["properties"])
    kinds = [
        (f"`{name.rpartition('_')[2]}`", *definition_of(form, common, schema)) for name, form in schema["$defs"].items() if name != "event"
    ]
    return table(("Event", "When", "Field", "Type", "Required", "Meaning"), (line for kind in kinds for line in spread(*kind)))


def definition_of(form: Schema, common: set[str], schema: Schema) -> tuple[str, list[tuple[str, str, str, str]]]:
    return form.get("description", ""), [line for line in rows(form, schema, "") if line[0].strip("`") not in common]


def spread(name: str, when: str, lines: list[tuple[str, str, str, str]]) -> Iterator[tuple[str, ...]]:
    """Yield one line per field; name and meaning of the event are in the first."""
    for number, line in enumerate(lines or [("", "", "", "")]):
        yield (name, when, *line) if number == 0 else ("", "", *line)


def load(name: str) -> Schema:
    found: Schema = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    return found


def rows(node: Schema, schema: Schema, before: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the row of each field; objects within objects have dotted fields, and NAME is any name."""
    required = node.get("required", [])
    for name, below in node.get("properties", {}).items():
        yield from row(f"{before}{name}", below, name in required, schema)
    if isinstance(node.get("additionalProperties"), dict):
        yield from row(f"{before}NAME", node["additionalProperties"], True, schema)


def row(field: str, node: Schema, required: bool, schema: Schema) -> Iterator[tuple[str, str, str, str]]:
    words = node.get("description", "")
    whole = resolved(node, schema)
    words = words or whole.get("description", "")
    yield f"`{field}`", kind(node, schema), shown(required), words
    for inner in (whole, whole.get("items", {})):
        if inner.get("properties") or isinstance(inner.get("additionalProperties"), dict):
            yield from rows(inner, schema, f"{field}{'[]' if inner is not whole else ''}.")


def resolved(node: Schema, schema: Schema) -> Schema:
    """Return what a reference within the same file leads to."""
    reference = node.get("$ref", "")
    return schema["$defs"][reference.rpartition("/")[2]] if reference.startswith("#/") else node


def shown(required: bool) -> str:
    return "yes" if required else "no"


def kind(node: Schema, schema: Schema) -> str:
    """Return the type of a field in words."""
    if "$ref" in node and not node["$ref"].startswith("#/"):
        name = node["$ref"].partition(".json")[0]
        return f"as in [{name}.json](schemas/{name}.json)"
    node = resolved(node, schema)
    if "anyOf" in node:
        return alternatives([kind(one, schema) for one in node["anyOf"]])
    if "const" in node:
        return f"`{json.dumps(node['const'])}`"
    if "enum" in node:
        return ", ".join(f"`{json.dumps(value)}`" for value in node["enum"])
    types = node.get("type", "object" if "properties" in node else "any")
    return alternatives([word(one, node, schema) for one in ([types] if isinstance(types, str) else types)])


def alternatives(words: list[str]) -> str:
    """Return `A`, `A or B`, or `A, B, or C`; null comes last."""
    ordered = sorted(dict.fromkeys(words), key=lambda one: one == "null")
    return " or ".join(ordered) if len(ordered) < 3 else f"{', '.join(ordered[:-1])}, or {ordered[-1]}"


def word(name: str, node: Schema, schema: Schema) -> str:
    if name == "string":
        return "64 hex digits" if node.get("pattern", "").lower() in (HEX, "^[0-9a-fa-f]{64}$") else "text"
    if name == "integer":
        low, high = node.get("minimum"), node.get("maximum")
        if low is not None and high is not None and high < 10**9:
            return f"whole number ({low} to {high})"
        return f"whole number (at least {low})" if low in (0, 1) else "whole number"
    if name == "array":
        items = resolved(node.get("items", {}), schema)
        return "array of objects" if items.get("properties") else f"array of {kind(items, schema).replace('whole number', 'whole numbers')}"
    return {"boolean": "true or false", "null": "null", "number": "number", "object": "object", "any": "any"}[name]
