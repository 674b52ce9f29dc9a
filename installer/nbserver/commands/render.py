"""`nbserver render`: write the files of a rendered folder, compare them, and list them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.approval import manifest, target
from nbserver.base import atomic_file, plain_file
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.base.message import Described, Lines, message
from nbserver.base.plain_text import clean
from nbserver.render.render import render_all

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost

RENDER_AGAIN = message("render-scripts-again", "Render the scripts again")
LONGER = 16_000_000  # excess bytes up to which a file is reported as "differs" instead of as too large


def files(hosts: Sequence[AnyHost]) -> dict[str, bytes]:
    """Return the bytes of each file by its name: one script per host, and the manifest. Raises CatalogError and InventoryError."""
    rendered = render_all(hosts)
    found = {script.file_name: script.text.encode("ascii") for script, _ in rendered}
    scripts, digests = [script for script, _ in rendered], {script.host: digest for script, digest in rendered}
    content = manifest.build(scripts, digests, {host.name: target.of(host) for host in hosts})
    found[manifest.FILE_NAME] = manifest.to_text(content).encode("ascii")
    return found


def write(found: Mapping[str, bytes], folder: Path) -> None:
    """Write the files, the manifest last: it never lists a script that does not exist.

    Raises ApprovalError if the folder or a file in it is a link: what is approved must be what is in this folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_no_link(folder)
        for name in sorted(found, key=lambda name: name == manifest.FILE_NAME):
            atomic_file.write_bytes(folder / name, found[name])
    except OSError as error:
        raise UsageError(
            "render-not-written",
            "could not write to the folder ({reason})",
            where=plain_file.shown(folder),
            todo="Choose another folder with -o",
            reason=error.strerror,
        ) from None


def _require_no_link(folder: Path) -> None:
    for name in sorted(plain_file.names(folder)):
        if plain_file.is_link(os.lstat(folder / name)):
            raise ApprovalError(
                "link-in-folder",
                "{file} is a link",
                where=plain_file.shown(folder),
                todo="Remove the link, or render into an empty folder",
                file=clean(name, 100),
            )


def compare(found: Mapping[str, bytes], folder: Path) -> None:
    """Raise an ApprovalError that names every file that is missing, differs or does not belong in the folder."""
    present = plain_file.names(folder) - {manifest.APPROVALS}
    wrong: list[Described] = [
        message("file-not-rendered", "{file} does not belong in this folder", file=clean(name, 100))
        for name in sorted(present - found.keys())
    ]
    for name, data in sorted(found.items()):
        if name not in present:
            wrong.append(message("file-not-in-folder", "{file} is missing", file=name))
        elif plain_file.read(folder / name, len(data) + LONGER, advice=RENDER_AGAIN) != data:
            wrong.append(message("file-differs", "{file} differs", file=name))
    if wrong:
        raise ApprovalError(
            "folder-differs",
            "{differences}",
            where=plain_file.shown(folder),
            todo="Render the scripts again and have the differences approved",
            differences=Lines(wrong, ", "),
        )


def overview(hosts: Sequence[AnyHost], folder: Path) -> list[str]:
    """Return the lines that list what was written, with the hashes that an approval refers to."""
    content = manifest.read(folder / manifest.FILE_NAME)
    lines = [f"{plain_file.shown(folder / entry['script'])}  sha256 {entry['sha256']}" for entry in content["hosts"].values()]
    bodies = sorted({entry["body_sha256"] for entry in content["hosts"].values()})
    return [
        *lines,
        *(f"body of release {content['release']}: sha256 {body}" for body in bodies),
        plain_file.shown(folder / manifest.FILE_NAME),
    ]
