"""The JSON Schema of the inventory, for editors that validate TOML. It does not contain the rules between settings."""

from __future__ import annotations

import copy
from typing import Any

from nbserver.inventory.linux_host import LinuxHostSettings
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.names import NAME
from nbserver.inventory.windows_host import WindowsHostSettings

_LISTS: list[dict[str, Any]] = [{"required": ["hosts_from"]}, {"required": ["hosts_command"]}]  # may say which hosts a group has


def json_schema() -> dict[str, Any]:
    """Return the schema. A table can have the keys of either system."""
    schema, definitions = _either(_tables(WindowsHostSettings.model_json_schema()), _tables(LinuxHostSettings.model_json_schema()))
    group = copy.deepcopy(schema)
    group["properties"]["hosts"] = {
        "type": "array",
        "items": {"type": "string"},
        "uniqueItems": True,
        "description": "the names of the group's hosts",
    }
    group["properties"]["groups"] = {
        "type": "array",
        "items": {"type": "string"},
        "uniqueItems": True,
        "description": "the names of other groups, whose hosts belong to the group too",
    }
    local, local_definitions = _either(_tables(LocalWindowsHost.model_json_schema()), _tables(LocalLinuxHost.model_json_schema()))
    definitions = {**local_definitions, **definitions}
    definitions.update(host=schema, group=group, local=local)
    names = {"type": "object", "propertyNames": {"pattern": NAME.pattern}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nbserver inventory",
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["hosts"]}, *_LISTS],
        "if": {"not": {"anyOf": _LISTS}},
        "then": {"properties": {"groups": {"additionalProperties": {"anyOf": [{"required": ["hosts"]}, {"required": ["groups"]}]}}}},
        "properties": {
            "hosts_from": {
                "type": "string",
                "minLength": 1,
                "description": "the path of a CSV or JSON file with further hosts, relative to the inventory",
            },
            "hosts_command": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "description": "a program that prints further hosts, and its arguments",
            },
            "defaults": {"$ref": "#/$defs/host"},
            "groups": {**names, "additionalProperties": {"$ref": "#/$defs/group"}},
            "hosts": {
                **names,
                "minProperties": 1,
                "properties": {"local": {"$ref": "#/$defs/local"}},
                "additionalProperties": {"$ref": "#/$defs/host"},
            },
        },
        "$defs": definitions,
    }


_Tables = tuple[dict[str, Any], dict[str, Any]]


def _tables(model: dict[str, Any]) -> _Tables:
    """Return the schema of a host and those of its tables. No key is required: another table can set it."""
    schema = _without_null(model)
    definitions = schema.pop("$defs")
    for table in (schema, *definitions.values()):
        table.pop("required", None)
    return schema, definitions


def _either(windows: _Tables, linux: _Tables) -> _Tables:
    """Return a schema that allows what either system allows. Tables of the same key are merged under the name of the Windows table."""
    definitions = {**linux[1], **windows[1]}
    schema = copy.deepcopy(windows[0])
    for key, value in linux[0]["properties"].items():
        other = schema["properties"].get(key)
        if other is None or "$ref" not in other:
            schema["properties"][key] = _any_of(other, value)
            continue
        name, linux_name = other["$ref"].rpartition("/")[2], value["$ref"].rpartition("/")[2]
        if name != linux_name:
            table = copy.deepcopy(windows[1][name])
            for inner, inner_value in linux[1][linux_name]["properties"].items():
                table["properties"][inner] = _any_of(table["properties"].get(inner), inner_value)
            definitions[name] = table
            del definitions[linux_name]
    return schema, definitions


def _any_of(windows: dict[str, Any] | None, linux: dict[str, Any]) -> dict[str, Any]:
    if windows is None or windows == linux:
        return linux
    words = dict.fromkeys(str(one["description"]) for one in (windows, linux) if "description" in one)
    return {"anyOf": [windows, linux], "description": "; on Linux: ".join(words)}


def _without_null(schema: Any) -> Any:
    """Remove null from the schema: TOML has no null, an optional key is absent."""
    if isinstance(schema, list):
        return [_without_null(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _without_null(value) for key, value in schema.items() if not (key == "default" and value is None)}
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema = {**kinds[0], **schema}
    return schema
