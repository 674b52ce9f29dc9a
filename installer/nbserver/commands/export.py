"""`nbserver export`: write the files for another tool, all of them or none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbserver import __version__
from nbserver.base import atomic_file, output_file, plain_file, writing
from nbserver.base.message import phrase
from nbserver.export import launcher
from nbserver.export.exported import Exported
from nbserver.render.render import render_each

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.render.script import Script

_BEGIN = 10  # bytes by which an earlier file of the same kind is known
_USER_DATA = (b"#!/usr/bin", b"\x1f\x8b")  # which is compressed if it would not fit otherwise

Export = Callable[["AnyHost", "Script"], Iterable[Exported]]
"""What a tool gets for one host. Raises InventoryError and UsageError."""


def each(hosts: Sequence[AnyHost], export: Export) -> Iterator[Exported]:
    """Yield what `export` returns for each host. Raises CatalogError, InventoryError, and UsageError."""
    for host, (script, _) in zip(hosts, render_each(hosts), strict=True):
        yield from export(host, script)


def write(files: Iterable[Exported], folder: Path) -> list[Exported]:
    """Write the files, and return them. If one cannot be exported, none is replaced.

    Raises UsageError if the folder cannot be written, or has a file with one of the names that is no earlier export, such as the
    hosts.json of an inventory. Raises what `files` raises.
    """
    found = list(files)
    for file in found:
        begins = _USER_DATA if file.name.endswith(".user-data") else (file.data[:_BEGIN],)
        output_file.require_no_other_content(folder / file.name, *begins)
    with writing.refused(
        "export-not-written", "could not write to the folder ({reason})", where=folder, todo="Choose another folder with -o"
    ):
        folder.mkdir(parents=True, exist_ok=True)
        with writing.folder_for_new_files(folder, ".export-") as new:
            for number, file in enumerate(found):
                (new / str(number)).write_bytes(file.data)
            for number, file in enumerate(found):
                to = folder / file.name
                to.parent.mkdir(exist_ok=True)
                atomic_file.put_into_place(new / str(number), to)
    return found


def as_json(tool: str, found: Sequence[Exported], folder: Path) -> dict[str, Any]:
    """Return the answer for --json about what was written."""
    return {
        "event": "exported",
        "tool": tool,
        "folder": plain_file.shown(folder),
        "release": __version__,
        "files": [_entry(file, folder) for file in found],
        "launchers": {name: launcher.launcher_sha256(name) for name in ("ps1", "sh")},
    }


def _entry(file: Exported, folder: Path) -> dict[str, Any]:
    return {
        "file": plain_file.shown(folder / file.name),
        "host": file.host or None,
        "sha256": hashlib.sha256(file.data).hexdigest(),
        "script_sha256": file.script_sha256 or None,
        "bytes": file.size,
        "limit": file.limit.size if file.limit else None,
    }


def overview(found: Sequence[Exported], folder: Path) -> Iterator[str]:
    """Yield the lines that list what was written: sizes next to the limits of the tool, and the hashes of the scripts."""
    for file in found:
        path, size = plain_file.shown(folder / file.name), f"{file.size:,}"
        said = phrase("{file}  {size} bytes", file=path, size=size)
        if file.limit:
            limit = f"{file.limit.size:,}"
            said = phrase("{file}  {size} bytes of {limit} ({what})", file=path, size=size, limit=limit, what=phrase(file.limit.what))
        yield phrase("{said}, script sha256 {sha256}", said=said, sha256=file.script_sha256) if file.script_sha256 else said
