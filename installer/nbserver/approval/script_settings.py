"""Settings that come from elsewhere than an inventory, as those of a manifest: checked by the rules that stand beside the fields.

Nothing gets by that a script would take for something else, and nothing that an inventory would not have given.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, create_model

from nbserver.base import strict_json
from nbserver.inventory.names import LOCAL
from nbserver.render.linux_settings import LinuxScriptSettings
from nbserver.render.settings import Table
from nbserver.render.windows_settings import WindowsMachineSettings, WindowsScriptSettings, WindowsUserSettings
from nbserver.settings.faults import dotted, faults
from nbserver.settings.types import Settings

AnyScriptSettings = WindowsScriptSettings | LinuxScriptSettings


@dataclass(frozen=True)
class Rules:
    """Settings of a system and scope: the model that checks them, and what makes the typed object of what was checked."""

    model: type[Settings]
    adapter: TypeAdapter[AnyScriptSettings]


def model_of(table: type[Table]) -> type[Settings]:
    """A model of pydantic with the fields of a Table and the rules beside them: every key is required, and no other is allowed."""
    hints = get_type_hints(table, include_extras=True)
    checked: dict[str, Any] = {field.name: (_checked(hints[field.name]), ...) for field in fields(table)}
    return create_model(table.__name__, __base__=Settings, **checked)


def _checked(annotation: Any) -> Any:
    """The type of a field with models instead of the tables in it."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return model_of(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return Union[tuple(map(_checked, get_args(annotation)))]  # noqa: UP007 (of as many as there are)
    return annotation


TABLES: dict[str, type[AnyScriptSettings]] = {
    "windows machine": WindowsMachineSettings,
    "windows user": WindowsUserSettings,
    "linux": LinuxScriptSettings,
}


@cache
def rules(name: str) -> Rules:
    """Those of one of TABLES, made when they are asked for."""
    return Rules(model_of(TABLES[name]), TypeAdapter(TABLES[name]))


def rules_of(settings: Mapping[str, Any]) -> Rules:
    """What settings of this system and scope are checked by."""
    if is_linux(settings):
        return rules("linux")
    return rules("windows user" if settings.get("scope") == "user" else "windows machine")


def typed(settings: Mapping[str, Any]) -> AnyScriptSettings:
    """The object of settings in which there is no fault, to render them from."""
    return rules_of(settings).adapter.validate_python(settings)


def is_linux(settings: Mapping[str, Any]) -> bool:
    """Whether these are the settings of a Linux host's script; those of Windows hosts name no system."""
    return "system" in settings


def first_fault(settings: Mapping[str, Any]) -> str | None:
    """`KEY: what is wrong` with the settings of a script, or None: an inventory gives these very settings, value for value."""
    model = rules_of(settings).model
    found = faults(settings, model, {}, missing=True)
    if found:
        return found[0][1]
    plain = model.model_validate(settings).model_dump(mode="json")
    return next(_differences(settings, plain, ()), None) or next(
        (f"{key}: {reason}" for key, reason in _contradictions(typed(settings))), None
    )


def _differences(given: Any, checked: Any, at: tuple[str, ...]) -> Iterator[str]:
    """The keys that an inventory writes in another form, as `any` for `Any`."""
    if isinstance(given, dict) and isinstance(checked, dict):
        for key, value in checked.items():
            if key not in given:
                yield f"{dotted((*at, key))}: it is missing"
            else:
                yield from _differences(given[key], value, (*at, key))
    elif not strict_json.same(given, checked):
        yield f"{dotted(at)}: an inventory gives it in another form"


def _contradictions(settings: AnyScriptSettings) -> list[tuple[str, str]]:
    user = settings.scope == "user"
    rules = [
        ("skip", list(settings.skip) != sorted(settings.skip), "it is not sorted"),
        ("scope", user and settings.host != LOCAL, f'"user" is for the host {LOCAL} only'),
    ]
    if isinstance(settings, LinuxScriptSettings):
        rules += [
            ("notebook.directory", settings.notebook.directory.startswith("~") and not user, 'a folder below ~ needs the scope "user"'),
            ("notebook.port", user and settings.notebook.port < 1024, 'ports below 1024 need the scope "machine"'),
            ("packages.source", user and settings.packages.source == "distribution", '"distribution" needs the scope "machine"'),
            ("python.program", settings.python.program is not None and not user, 'it needs the scope "user"'),
        ]
    else:
        certificate, path = settings.certificate, settings.path
        store = certificate.source == "store"
        rules += [
            (
                "certificate.thumbprint",
                store != (certificate.thumbprint is not None),
                'it belongs to the source "store", and to no other',
            ),
            ("certificate.source", user and certificate.source != "host", 'in user scope it is "host"'),
            ("adopt", user and settings.adopt, "it is false in user scope"),
            ("path", user and (path.programs or bool(path.entries)), "there is none in user scope"),
            ("skip", user and bool(settings.skip), "it is empty in user scope"),
        ]
    return [(key, reason) for key, broken, reason in rules if broken]
