"""Check a parsed manifest key by key, without reading any files or scripts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from nbserver import __version__
from nbserver.approval import target
from nbserver.approval.script_settings import first_fault, is_linux
from nbserver.base.message import DescribedError
from nbserver.inventory.names import is_host
from nbserver.render.settings import Release, Sha256
from nbserver.settings.faults import dotted, faults, kind
from nbserver.settings.types import Array, Settings, VersionPrefix, WebAddress

Step = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]


class Download(Settings):
    name: Literal["python", "vc_redist", "openssl"] = Field(description="python, vc_redist, or openssl")
    sha256: Sha256
    size: int | None = Field(ge=1, description="a number of bytes, or null")
    url: WebAddress = Field(description="an http or https URL, without credentials")
    version: VersionPrefix = Field(description="a version")


class EntryOfVersion1(Settings):
    """The entry of a host as release 0.1.0 wrote it."""

    body_sha256: Sha256
    catalog_sha256: Sha256
    downloads: Annotated[tuple[Download, ...], Array] = Field(max_length=3, description="an array of downloads")
    lock_sha256: Sha256
    script: str = Field(max_length=110, description="a file name")
    settings: dict[str, Any] = Field(description="a table with the settings of a script")
    sha256: Sha256
    steps: Annotated[tuple[Step, ...], Array] = Field(min_length=1, max_length=100, description="an array of step names")


class EntryOfVersion2(EntryOfVersion1):
    """The entry of a host as releases 0.2.0 to 0.5.0 wrote it."""

    head_sha256: Sha256


class Entry(EntryOfVersion2):
    signed_sha256: Sha256 | None = Field(description="64 lower-case hex digits, or null")
    target: dict[str, Any] = Field(description="a table with the target of the host")


class Manifest(Settings):
    hosts: dict[str, Any] = Field(min_length=1, description="a table with at least one host")
    release: Release
    v: int = Field(description="a whole number")


ENTRIES: dict[int, type[EntryOfVersion1]] = {1: EntryOfVersion1, 2: EntryOfVersion2, 3: Entry}
VALUES = 10_000  # maximum number of keys and values in the entry of a host, which has about 100


def require_manifest(value: Any) -> None:
    """Raise ValueError with the key and the problem unless this is a valid manifest of a known version.

    Settings of another release are not checked: their rules are unknown, and their scripts are never run.
    """
    version = value.get("v") if isinstance(value, dict) else None
    if type(version) is not int or version not in ENTRIES:
        raise DescribedError(
            "manifest-version-unknown",
            "the manifest version is missing or not supported; expected {versions}",
            versions=f"{', '.join(map(str, list(ENTRIES)[:-1]))}, or {max(ENTRIES)}",
        )
    _require(value, Manifest, "")
    taken: dict[str, str] = {}
    for host, entry in value["hosts"].items():
        at = dotted(("hosts", host))
        if not is_host(host):
            raise DescribedError("manifest-host-invalid", "{key}: must be a valid host name", key=at)
        other = taken.setdefault(host.lower(), host)
        if other != host:
            raise DescribedError("manifest-host-case", '{key}: the name differs from "{other}" only in case', key=at, other=other)
        _require(entry, ENTRIES[version], at)
        _require_of_host(host, entry, value["release"], at)
        fault = target.first_fault(entry["target"]) if version >= 3 else None
        if fault:
            raise DescribedError("manifest-target-invalid", "error in {key}.target: {reason}", key=at, reason=fault)
        if version >= 2 and value["release"] == __version__:
            fault = first_fault(entry["settings"])
            if fault:
                raise DescribedError("manifest-settings-invalid", "error in {key}.settings: {reason}", key=at, reason=fault)


def _require_of_host(host: str, entry: dict[str, Any], release: str, at: str) -> None:
    settings = entry["settings"]
    script = f"{host}.{'sh' if is_linux(settings) else 'ps1'}"
    for key, is_, should in (
        ("settings.host", settings.get("host"), host),
        ("settings.release", settings.get("release"), release),
        ("script", entry["script"], script),
    ):
        if is_ != should or not isinstance(is_, str):
            raise DescribedError("manifest-value-differs", '{table}.{key}: must be "{expected}"', table=at, key=key, expected=should)
    if is_linux(settings) and entry.get("signed_sha256") is not None:
        raise DescribedError(
            "manifest-linux-signed", "{table}.signed_sha256: must be null, because scripts for Linux are never signed", table=at
        )


def _require(value: Any, model: type[Settings], at: str) -> None:
    if not isinstance(value, dict):
        raise DescribedError("manifest-no-table", "{key}: expected a table, found {kind}", key=at, kind=kind(value))
    if (at and _count(value) > VALUES) or len(value) > VALUES:
        if at:
            raise DescribedError("manifest-host-too-large", "{key} contains more than {limit} values", key=at, limit=VALUES)
        raise DescribedError("manifest-too-large", "the manifest contains more than {limit} values", limit=VALUES)
    found = faults(value, model, {}, missing=True)
    if found:
        reason = found[0][1]
        if at:
            raise DescribedError("manifest-host-fault", "error in {key}: {reason}", key=at, reason=reason)
        raise DescribedError("manifest-fault", "error at the top level: {reason}", reason=reason)


def _count(value: Any) -> int:
    """Return the number of keys and values. It is limited because each error takes time to describe."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inside))
