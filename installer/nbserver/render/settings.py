"""What the scripts of both systems receive: the fields, and beside each of them what may be in it.

Nothing is checked when such an object is made: an inventory was checked before. `nbserver audit` checks settings that come
from a manifest by the rules that stand here. docs/schemas/settings.json and settings_linux.json describe them for other programs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from nbserver.inventory.names import is_host
from nbserver.settings.types import Array, HostName, ListenAddress, ProxyUrl, WebAddress, refuse, unlike


def _host(text: str) -> str:
    if not is_host(text):
        raise refuse("no host of an inventory has such a name")
    return text


HEX = "64 lower-case hex digits"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description=HEX)]
Release = Annotated[str, Field(pattern=r"^[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}[0-9A-Za-z.+-]{0,40}$", description="a release such as 1.2.3")]


@dataclass(frozen=True)
class Table:
    """A table of settings."""

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values, as docs/formats.md describes them."""
        return {field.name: _json(getattr(self, field.name)) for field in fields(self)}


def _json(value: Any) -> Any:
    if isinstance(value, Table):
        return value.as_json()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Certificate(Table):
    days: Annotated[int, Field(ge=1, le=397, description="a whole number from 1 to 397")]
    names: Annotated[
        tuple[Annotated[HostName, AfterValidator(str.lower)], ...],
        AfterValidator(unlike),
        Array,
        Field(min_length=1, description="an array of DNS names in small letters, and IP addresses"),
    ]


@dataclass(frozen=True)
class Downloads(Table):
    proxy: Annotated[ProxyUrl | None, Field(description="a URL such as http://proxy.example.com:3128, or null")]


@dataclass(frozen=True)
class Packages(Table):
    index_url: Annotated[WebAddress | None, Field(description="the URL of a package index without credentials, or null")]
    installer: Annotated[Literal["auto", "uv", "pip"], Field(description="auto, uv or pip")]
    lock_sha256: Sha256


@dataclass(frozen=True)
class Notebook(Table):
    ip: Annotated[ListenAddress, Field(description='"*" or an IP address')]
    port: Annotated[int, Field(ge=1, le=65535, description="a whole number from 1 to 65535")]
    session: Annotated[int, Field(ge=1, le=744, description="a whole number of hours from 1 to 744")]


@dataclass(frozen=True)
class ScriptSettings(Table):
    """What every script has."""

    architecture: Annotated[Literal["x64", "arm64"], Field(description="x64 or arm64")]
    downloads: Downloads
    host: Annotated[str, AfterValidator(_host), Field(description="the name of a host")]
    release: Release
