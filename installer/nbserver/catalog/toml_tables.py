"""The tables of a catalog file: names, types, valid values and defaults."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nbserver.catalog import windows_releases
from nbserver.settings.refusal import refuse
from nbserver.settings.types import Array, Settings, VersionPrefix, WebAddress


def _hash(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise refuse("catalog-hash-malformed", "expected a SHA-256 hash of 64 hex digits, found {count} characters", count=len(text))
    return text.lower()


def _download_url(text: str) -> str:
    if text.endswith("/"):
        raise refuse("download-url-ends-in-slash", "must not end in /")
    return text


def _candidates(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _program_path(text: str) -> str:
    if "/" in text:
        raise refuse("program-path-slash", "must use backslashes instead of slashes")
    if any(part in ("", ".", "..") for part in text.split("\\")):
        raise refuse("program-path-component", "must not contain an empty component, or . or .. as a component")
    return text


def _check_executable(kind: str, paths: tuple[str, ...]) -> None:
    absolute = [bool(re.match(r"%\w[\w()]*%\\|[A-Za-z]:\\", path)) for path in paths]
    if kind != "msi" and (len(absolute) > 1 or any(absolute) or any(":" in path for path in paths)):
        if kind == "exe":
            raise refuse(
                "exe-executable-outside-folder", 'with kind = "exe", executable must be the path of one file inside the installation folder'
            )
        raise refuse("zip-executable-outside-zip", 'with kind = "zip", executable must be the path of one file inside the zip file')
    if kind == "msi" and not all(absolute):
        raise refuse(
            "msi-executable-not-absolute",
            'with kind = "msi", executable must be an absolute path such as "%ProgramFiles%\\OpenSSL\\bin\\openssl.exe"',
        )


_Executable = Annotated[tuple[Annotated[str, AfterValidator(_program_path)], ...], Array, BeforeValidator(_candidates)]
_SHA256 = "64 hex digits, published by the publisher (without it, the entry is never used)"


class Source(Settings):
    """A table in `sources` of an entry: another file with the program. What it leaves out is as in the entry."""

    url: Annotated[WebAddress, AfterValidator(_download_url)] = Field(description="the HTTP or HTTPS URL of a file, without credentials")
    sha256: Annotated[str, AfterValidator(_hash)] = Field(description="64 hex digits, published by the publisher")
    size: int | None = Field(default=None, ge=1, description="the number of bytes")


class ProgramSource(Source):
    kind: Literal["zip", "msi", "exe"] | None = Field(default=None, description="zip, msi, or exe")
    executable: Annotated[_Executable, Field(min_length=1)] | None = Field(
        default=None, description="a path inside the zip, or an array of paths where an msi may install it"
    )


class PythonSource(ProgramSource):
    kind: Literal["zip", "exe"] | None = Field(default=None, description="zip or exe")


class OpenSslSource(ProgramSource):
    version: VersionPrefix | None = Field(default=None, description='a complete version such as "3.5.9"')


class Entry(Settings):
    """A [[python]], [[openssl]] or [[vc_redist]] table."""

    version: VersionPrefix = Field(description='a complete version such as "3.13.13"')
    architecture: Literal["x64", "arm64"] = Field(description="x64 or arm64")
    kind: Literal["zip", "msi", "exe"] = Field(description="zip, msi, or exe")
    url: Annotated[WebAddress, AfterValidator(_download_url)] = Field(description="the HTTP or HTTPS URL of a file, without credentials")
    sha256: Annotated[str, AfterValidator(_hash)] | None = Field(default=None, description=_SHA256)
    size: int | None = Field(default=None, ge=1, description="the number of bytes")
    executable: _Executable = Field(min_length=1, description="a path inside the zip, or an array of paths where an msi may install it")
    source: str = Field(default="", description="where and when the hash of the publisher was read")

    needs_vc_redist: bool = Field(default=False, description="true or false")
    windows: VersionPrefix = Field(default=windows_releases.OLDEST, description='the lowest NT version that it supports, such as "6.3"')
    end_of_life: bool = Field(default=False, description="true or false")
    sources: Annotated[tuple[Source, ...], Array] = Field(default=(), description="an array of tables")

    @model_validator(mode="after")
    def _fitting_executable(self) -> Entry:
        _check_executable(self.kind, self.executable)
        return self

    @model_validator(mode="after")
    def _fitting_sources(self) -> Entry:
        if self.sources and self.sha256 is None:
            raise refuse("sources-without-hash", "an entry with sources must also have sha256")
        for source in self.sources:
            if isinstance(source, ProgramSource):
                _check_executable(source.kind or self.kind, source.executable or self.executable)
        return self


class PythonEntry(Entry):
    kind: Literal["zip", "exe"] = Field(description="zip or exe")
    sources: Annotated[tuple[PythonSource, ...], Array] = Field(default=(), description="an array of tables")


class OpenSslEntry(Entry):
    sources: Annotated[tuple[OpenSslSource, ...], Array] = Field(default=(), description="an array of tables")


class VcRedistEntry(Entry):
    kind: Literal["exe"] = Field(description="exe")
    executable: tuple[()] = Field(default=(), description="no value; remove this key")


class LockEntry(Settings):
    python: VersionPrefix = Field(description='a Python branch, such as "3.13"')
    architecture: Literal["x64", "arm64"] = Field(description="x64 or arm64")
    file: str = Field(description="the path of a lock file, relative to the catalog")


class Defaults(Settings):
    python: VersionPrefix | None = Field(default=None, description='a version or version prefix, such as "3.13"')
    openssl: VersionPrefix | None = Field(default=None, description='a version or version prefix, such as "3.5"')


class CatalogFile(Settings):
    defaults: Defaults = Defaults()
    python: Annotated[tuple[PythonEntry, ...], Array] = Field(default=(), description="tables [[python]]")
    openssl: Annotated[tuple[OpenSslEntry, ...], Array] = Field(default=(), description="tables [[openssl]]")
    vc_redist: Annotated[tuple[VcRedistEntry, ...], Array] = Field(default=(), description="tables [[vc_redist]]")
    lock: Annotated[tuple[LockEntry, ...], Array] = Field(default=(), description="tables [[lock]]")
