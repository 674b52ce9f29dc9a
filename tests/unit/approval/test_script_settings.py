"""The settings of scripts: what `nbserver audit` accepts is what the schemas in docs/schemas allow, and no more."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from nbserver.approval import script_settings
from nbserver.base import strict_json
from nbserver.render.linux_settings import LinuxScriptSettings
from nbserver.render.settings import ScriptSettings
from nbserver.render.windows_settings import WindowsMachineSettings, WindowsUserSettings
from tests import golden, rendered_folders
from tests.formats import Draft202012Validator, schema
from tests.rendered_folders import MANIFEST

PROBES: list[Any] = [
    None,
    True,
    0,
    1,
    -1,
    398,
    65535,
    65536,
    1.0,
    "",
    "x",
    "1",
    "*",
    "~/x",
    "/srv/x",
    "C:\\x",
    "store",
    "user",
    "linux",
    "uv",
    "wheels",
    "zip",
    "present",
    "arm64",
    "x86",
    "2012",
    "95",
    "if-needed",
    "firewall",
    "0" * 64,
    "A" * 64,
    "3.13",
    "https://example.com/x",
    "win1\n",
    [],
    ["x"],
    ["firewall", "firewall"],
    {"x": 1},
]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Settings of each system and scope."""
    found = [script.settings for script in golden.scripts()]
    for files in (
        rendered_folders.machines(tmp_path_factory.mktemp("inventory")),
        rendered_folders.linux_user(),
        rendered_folders.windows_user(),
    ):
        found += [entry["settings"] for entry in json.loads(files[MANIFEST])["hosts"].values()]
    return found


SCHEMAS = {kind: Draft202012Validator(schema(kind)) for kind in ("settings", "settings_linux")}


def is_valid(settings: dict[str, Any]) -> bool:
    return SCHEMAS["settings_linux" if "system" in settings else "settings"].is_valid(settings)


def changed(value: Any) -> Iterator[Any]:
    """The value with one key removed or added, or one thing in it (of an array the first) replaced by a probe."""
    if isinstance(value, dict):
        yield {**value, "x": 1}
        for key, item in value.items():
            yield {other: value[other] for other in value if other != key}
            yield from ({**value, key: new} for new in [*PROBES, *changed(item)])
    elif isinstance(value, list):
        for item in value[:1]:
            yield from ([new, *value[1:]] for new in [*PROBES, *changed(item)])


def test_what_is_rendered_is_accepted(documents: list[dict[str, Any]]) -> None:
    assert len(documents) == 8
    for settings in documents:
        assert is_valid(settings) and script_settings.first_fault(settings) is None
        assert strict_json.same(script_settings.typed(settings).as_json(), settings)


def test_what_the_schema_refuses_is_refused(documents: list[dict[str, Any]]) -> None:
    refused = 0
    for settings in {script_settings.rules_of(settings).model: settings for settings in documents}.values():
        for other in changed(settings):
            if not is_valid(other):
                refused += 1
                assert script_settings.first_fault(other) is not None, {
                    key: value for key, value in other.items() if settings.get(key, "") != value
                }
    assert refused > 1000


def keys_of_schema(node: dict[str, Any], whole: dict[str, Any], at: str = "") -> Iterator[tuple[str, bool]]:
    """(dotted key, whether it is required) of every object that a schema describes."""
    for kind in node.get("anyOf", []):
        yield from keys_of_schema(kind, whole, at)
    if "$ref" in node:
        yield from keys_of_schema(whole["$defs"][node["$ref"].rpartition("/")[2]], whole, at)
    if "items" in node:
        yield from keys_of_schema(node["items"], whole, at)
    for key, below in node.get("properties", {}).items():
        yield f"{at}.{key}".lstrip("."), key in node["required"]
        yield from keys_of_schema(below, whole, f"{at}.{key}")


def keys_of_model(model: type[BaseModel], at: str = "") -> Iterator[str]:
    from nbserver.settings.faults import _table

    for key, field in model.model_fields.items():
        yield f"{at}.{key}".lstrip(".")
        below = _table(field.annotation)
        yield from keys_of_model(below, f"{at}.{key}") if below else ()


@pytest.mark.parametrize(
    ("kind", "tables"),
    [("settings", [WindowsMachineSettings, WindowsUserSettings]), ("settings_linux", [LinuxScriptSettings])],
)
def test_both_have_the_same_keys(kind: str, tables: list[type[ScriptSettings]]) -> None:
    documented = dict(keys_of_schema(schema(kind), schema(kind)))
    assert all(documented.values())
    assert set(documented) == {key for table in tables for key in keys_of_model(script_settings.model_of(table))}


@pytest.mark.parametrize("name", ["notebook.port", "certificate.days", "skip", "architecture", "reboot", "packages.installer", "windows"])
def test_what_the_schema_allows_of_plain_values_is_accepted(documents: list[dict[str, Any]], name: str) -> None:
    """In user scope rules between settings come in addition. 1.0 is a whole number for a schema, and never for us."""
    *above, last = name.split(".")
    tried = 0
    for settings in documents:
        for probe in PROBES if settings["scope"] == "machine" else ():
            other = copy.deepcopy(settings)
            table = other[above[0]] if above else other
            if last in table and not isinstance(probe, float):
                table[last] = probe
                assert (script_settings.first_fault(other) is None) == is_valid(other), (name, probe)
                tried += 1
    assert tried, f"no document has {name}"
