"""The settings that the scripts for both systems receive, with the rules for each field.

Creating an object checks nothing, because an inventory is validated before it is rendered. `nbserver audit` checks the settings in a
manifest by these rules. docs/schemas/settings.json and settings_linux.json describe them for other programs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field

from nbserver.catalog import mirror
from nbserver.inventory.names import is_host
from nbserver.settings.refusal import refuse
from nbserver.settings.types import Array, HostName, ListenAddress, MirrorUrl, ProxyUrl, WebAddress, unlike

if TYPE_CHECKING:
    from nbserver.inventory.windows_tables import DownloadsSettings


def _host(text: str) -> str:
    if not is_host(text):
        raise refuse("host-name-invalid", "must be a valid host name")
    return text


HEX = "64 lower-case hex digits"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description=HEX)]
Release = Annotated[str, Field(pattern=r"^[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}[0-9A-Za-z.+-]{0,40}$", description="a release such as 1.2.3")]


@dataclass(frozen=True)
class Table:
    """A table of settings."""

    def as_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values (see docs/formats.md)."""
        return {field.name: _json(getattr(self, field.name)) for field in fields(self)}


def _json(value: Any) -> Any:
    if isinstance(value, Table):
        return value.as_json()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_json(one) for one in value] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Certificate(Table):
    days: Annotated[int, Field(ge=1, le=397, description="a whole number from 1 to 397")]
    names: Annotated[
        tuple[Annotated[HostName, AfterValidator(str.lower)], ...],
        AfterValidator(unlike),
        Array,
        Field(min_length=1, description="an array of lower-case DNS names and IP addresses"),
    ]


@dataclass(frozen=True)
class Downloads(Table):
    mirror: Annotated[MirrorUrl | None, Field(description="an https URL, without credentials, if source is mirror, otherwise null")]
    proxy: Annotated[ProxyUrl | None, Field(description="a URL such as http://proxy.example.com:3128, without credentials, or null")]
    source: Annotated[Literal["direct", "mirror", "push"], Field(description="direct, mirror, or push")]

    @classmethod
    def of(cls, downloads: DownloadsSettings) -> Self:
        """Return the table for the settings of a host."""
        mirrored = downloads.source == "mirror"
        return cls(mirror=downloads.mirror if mirrored else None, proxy=downloads.proxy, source=downloads.source)

    def index(self, url: str | None) -> str | None:
        """Return the package index of a host. None if a mirror or the workstation replaces it."""
        return url if self.source == "direct" else None

    def url(self, url: str, sha256: str) -> str:
        """Return where a host downloads a file that its publisher has at `url`. Raises CatalogError."""
        if self.mirror is None:
            return url
        return f"{self.mirror}/{mirror.path_of(sha256, mirror.file_of_program(url))}"


@dataclass(frozen=True)
class Packages(Table):
    index_url: Annotated[WebAddress | None, Field(description="the URL of a package index, without credentials, or null")]
    installer: Annotated[Literal["auto", "uv", "pip"], Field(description="auto, uv, or pip")]
    lock_sha256: Sha256


@dataclass(frozen=True)
class Notebook(Table):
    collaboration: Annotated[bool, Field(description="true or false")]
    cull_idle_seconds: Annotated[int, Field(ge=0, le=2_678_400, description="a whole number of seconds; 0: idle kernels stay")]
    interface: Annotated[Literal["lab", "notebook"], Field(description='"lab" or "notebook"')]
    ip: Annotated[ListenAddress, Field(description='"*" for all addresses of the host, or one IP address')]
    language: Annotated[Literal["en", "fr", "ja"] | None, Field(description='"en", "fr", "ja", or null')]
    port: Annotated[int, Field(ge=1, le=65535, description="a whole number from 1 to 65535")]
    session: Annotated[int, Field(ge=1, le=744, description="a whole number of hours from 1 to 744")]

    @classmethod
    def of(cls, notebook: BaseModel) -> Self:
        """Return the table with those settings of the inventory's notebook table that a script has."""
        values = {field.name: getattr(notebook, field.name) for field in fields(cls)}
        given: dict[str, Any] = {key: None if value == "none" else value for key, value in values.items()}
        return cls(**given)


@dataclass(frozen=True)
class ScriptSettings(Table):
    """The settings that every script has."""

    architecture: Annotated[Literal["x64", "arm64"], Field(description="x64 or arm64")]
    downloads: Downloads
    host: Annotated[str, AfterValidator(_host), Field(description="the name of a host in the inventory, or local")]
    release: Release
