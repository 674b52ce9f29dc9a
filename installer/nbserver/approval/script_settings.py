"""Check settings that do not come from an inventory, such as those in a manifest, by the rules next to the fields.

Settings are only accepted if rendering an inventory could produce them and a script cannot misinterpret them.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, create_model

from nbserver.base import strict_json
from nbserver.base.message import Message, message
from nbserver.inventory.names import LOCAL
from nbserver.render.linux_settings import LinuxScriptSettings
from nbserver.render.settings import Table
from nbserver.render.windows_settings import WindowsMachineSettings, WindowsScriptSettings, WindowsUserSettings
from nbserver.settings.faults import dotted, faults
from nbserver.settings.types import Settings

AnyScriptSettings = WindowsScriptSettings | LinuxScriptSettings


@dataclass(frozen=True)
class Rules:
    """The rules for a system and scope: the model that checks settings, and the adapter that turns checked settings into an object."""

    model: type[Settings]
    adapter: TypeAdapter[AnyScriptSettings]


def model_of(table: type[Table]) -> type[Settings]:
    """Return a pydantic model with the fields of a Table and their rules. Every key is required, and no other key is allowed."""
    hints = get_type_hints(table, include_extras=True)
    checked: dict[str, Any] = {field.name: (_checked(hints[field.name]), ...) for field in fields(table)}
    return create_model(table.__name__, __base__=Settings, **checked)


def _checked(annotation: Any) -> Any:
    """Return the type of a field with each Table in it replaced by its model."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return model_of(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return Union[tuple(map(_checked, get_args(annotation)))]  # noqa: UP007 (the number of types varies)
    if get_origin(annotation) is Annotated:
        return Annotated[(_checked(annotation.__origin__), *annotation.__metadata__)]
    if get_origin(annotation) is tuple:
        return tuple[tuple(map(_checked, get_args(annotation)))]  # type: ignore[misc]
    return annotation


TABLES: dict[str, type[AnyScriptSettings]] = {
    "windows machine": WindowsMachineSettings,
    "windows user": WindowsUserSettings,
    "linux": LinuxScriptSettings,
}


@cache
def rules(name: str) -> Rules:
    """Return the rules for a key of TABLES. They are built on first use."""
    return Rules(model_of(TABLES[name]), TypeAdapter(TABLES[name]))


def rules_of(settings: Mapping[str, Any]) -> Rules:
    """Return the rules for the system and scope of these settings."""
    if is_linux(settings):
        return rules("linux")
    return rules("windows user" if settings.get("scope") == "user" else "windows machine")


def typed(settings: Mapping[str, Any]) -> AnyScriptSettings:
    """Return valid settings as an object that can be rendered."""
    return rules_of(settings).adapter.validate_python(settings)


def is_linux(settings: Mapping[str, Any]) -> bool:
    """Return whether these are settings for a Linux host; settings for a Windows host have no `system`."""
    return "system" in settings


def first_fault(settings: Mapping[str, Any]) -> Message | None:
    """Return the first error as `KEY: problem`, or None if rendering an inventory could produce exactly these settings."""
    model = rules_of(settings).model
    found = faults(settings, model, {}, missing=True)
    if found:
        return found[0][1]
    plain = model.model_validate(settings).model_dump(mode="json")
    return next(_differences(settings, plain, ()), None) or next(
        (message("setting-invalid", "{key}: {reason}", key=key, reason=reason) for key, reason in _contradictions(typed(settings))), None
    )


def _differences(given: Any, checked: Any, at: tuple[str, ...]) -> Iterator[Message]:
    """Yield an error for each missing key, and for each value that is not in its canonical form, such as `any` instead of `Any`."""
    if isinstance(given, dict) and isinstance(checked, dict):
        for key, value in checked.items():
            if key not in given:
                required = message("key-required", "this key is required")
                yield message("setting-invalid", "{key}: {reason}", key=dotted((*at, key)), reason=required)
            else:
                yield from _differences(given[key], value, (*at, key))
    elif not strict_json.same(given, checked):
        other = message("value-not-canonical", "must be in the form that nbserver render writes")
        yield message("setting-invalid", "{key}: {reason}", key=dotted(at), reason=other)


def _contradictions(settings: AnyScriptSettings) -> list[tuple[str, Message]]:
    user = settings.scope == "user"
    rules = [
        ("skip", list(settings.skip) != sorted(settings.skip), message("not-sorted", "the values must be in alphabetical order")),
        ("scope", user and settings.host != LOCAL, message("user-scope-not-local", '"user" is valid only for the host {name}', name=LOCAL)),
    ]
    mirrored = settings.downloads.source == "mirror"
    rules += [
        (
            "downloads.mirror",
            mirrored != (settings.downloads.mirror is not None),
            message("mirror-without-source", 'must be set if downloads.source is "mirror", and must be null otherwise'),
        ),
        (
            "packages.index_url",
            settings.downloads.source != "direct" and settings.packages.index_url is not None,
            message("index-with-mirror", 'must be null unless downloads.source is "direct"'),
        ),
    ]
    if isinstance(settings, LinuxScriptSettings):
        rules += [
            (
                "notebook.directory",
                settings.notebook.directory.startswith("~") and not user,
                message("home-folder-in-machine-scope", 'a folder below ~ requires scope = "user"'),
            ),
            (
                "notebook.port",
                user and settings.notebook.port < 1024,
                message("low-port-in-user-scope", 'a port below 1024 requires scope = "machine"'),
            ),
            (
                "packages.source",
                user and settings.packages.source == "distribution",
                message("distribution-in-user-scope", '"distribution" requires scope = "machine"'),
            ),
            (
                "service",
                {value is None for value in settings.service.as_json().values()} != {user},
                message("limits-of-scope", "must all be null in user scope, and must all be set otherwise"),
            ),
            ("python.program", settings.python.program is not None and not user, message("user-scope-only", 'requires scope = "user"')),
        ]
    else:
        certificate, path = settings.certificate, settings.path
        store = certificate.source == "store"
        rules += [
            (
                "certificate.thumbprint",
                store != (certificate.thumbprint is not None),
                message("thumbprint-without-store", 'must be set if certificate.source is "store", and must be null otherwise'),
            ),
            (
                "certificate.source",
                user and certificate.source != "host",
                message("certificate-source-in-user-scope", 'must be "host" in user scope'),
            ),
            ("adopt", user and settings.adopt, message("true-in-user-scope", "must be false in user scope")),
            (
                "path",
                user and (path.programs or bool(path.entries)),
                message("path-in-user-scope", "entries must be empty and programs must be false in user scope"),
            ),
            ("skip", user and bool(settings.skip), message("skip-in-user-scope", "must be empty in user scope")),
        ]
    return [(key, reason) for key, broken, reason in rules if broken]
