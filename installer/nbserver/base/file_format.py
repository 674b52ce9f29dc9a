"""Files in formats of nbserver that a newer release wrote: they are neither damaged nor changed, but cannot be read."""

from __future__ import annotations

import json
from typing import Any

from nbserver.base.errors import NbserverError


def newer(value: Any, supported: int) -> int | None:
    """Return the version of the format that a parsed file or line names, if it is newer than the supported one."""
    version = value.get("v") if isinstance(value, dict) else None
    return version if type(version) is int and version > supported else None


def newer_line(line: bytes, supported: int) -> int | None:
    """Return the same of a line that is not parsed. A line that is not JSON has none."""
    try:
        return newer(json.loads(line), supported)
    except (ValueError, RecursionError):
        return None


def require_supported(value: Any, supported: int, where: str, error: type[NbserverError]) -> None:
    """Raise the error if a newer release wrote the file. Its contents have to be checked in any case: anyone can write a version."""
    version = newer(value, supported)
    if version is not None:
        raise of_newer_release(version, supported, where, error)


def of_newer_release(version: int, supported: int, where: str, error: type[NbserverError]) -> NbserverError:
    """Return the error for a file in a newer version of its format."""
    return error(
        "file-format-newer",
        "a newer release of nbserver wrote the file: it has format version {version}, but this release supports format version {supported}",
        where=where,
        todo="Upgrade nbserver to the release that wrote the file, or to a newer one",
        version=version,
        supported=supported,
    )
