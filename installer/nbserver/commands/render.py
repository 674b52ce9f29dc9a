"""`nbserver render`: write the files of a rendered folder, compare them, and list them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nbserver import __version__
from nbserver.approval import manifest, target
from nbserver.base import atomic_file, plain_file, writing
from nbserver.base.errors import ApprovalError
from nbserver.base.existing import exists
from nbserver.base.message import Described, Lines, message, phrase
from nbserver.base.plain_text import clean
from nbserver.render.render import render_each

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost

RENDER_AGAIN = message("render-scripts-again", "Run nbserver render again")
LONGER = 16_000_000  # excess bytes up to which a file is reported as "differs" instead of as too large


class RenderedFolder:
    """The files of a rendered folder. Each script is rendered when it is asked for, and none is kept.

    `sign` returns the bytes to publish for a script, which are the script itself or that script with a signature.
    """

    def __init__(self, hosts: Sequence[AnyHost], sign: Callable[[str, bytes], bytes] = lambda name, data: data) -> None:
        self._hosts, self._sign = hosts, sign
        self._entries: dict[str, str] = {}  # the text of each host in the manifest, which takes less memory than its values
        self._hashes: dict[str, str] = {}
        self._bodies: set[str] = set()
        self._manifest_sha256 = ""

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of each file: one script per host, and the manifest last. Raises CatalogError and InventoryError."""
        for host, (script, digest) in zip(self._hosts, render_each(self._hosts), strict=True):
            code = script.code
            data = self._sign(script.file_name, code)
            signed = None if data is code else hashlib.sha256(data).hexdigest()
            self._entries[script.host] = manifest.entry_text(manifest.entry(script, digest, target.of(host), signed))
            self._hashes[script.file_name] = signed or script.sha256
            self._bodies.add(script.body_sha256)
            yield script.file_name, data
        content = manifest.joined(self._entries).encode("ascii")
        self._manifest_sha256 = hashlib.sha256(content).hexdigest()
        yield manifest.FILE_NAME, content

    def as_json(self, folder: Path) -> dict[str, object]:
        """Return the answer for --json about what was written."""
        scripts = [{"file": plain_file.shown(folder / name), "sha256": digest} for name, digest in self._hashes.items()]
        where = {"event": "rendered", "folder": plain_file.shown(folder), "release": __version__}
        return {**where, "manifest_sha256": self._manifest_sha256, "scripts": scripts, "bodies": sorted(self._bodies)}

    def overview(self, folder: Path) -> list[str]:
        """Return the lines that list what was written, with the hashes that an approval refers to."""
        return [
            *(f"{plain_file.shown(folder / name)}  sha256 {digest}" for name, digest in self._hashes.items()),
            *(phrase("body of release {release}: sha256 {sha256}", release=__version__, sha256=body) for body in sorted(self._bodies)),
            plain_file.shown(folder / manifest.FILE_NAME),
        ]


class Files(Protocol):
    """The names and bytes of files, such as `RenderedFolder`, or a mapping."""

    def items(self) -> Iterable[tuple[str, bytes]]: ...


def files(hosts: Sequence[AnyHost]) -> dict[str, bytes]:
    """Return the bytes of each file of a rendered folder by its name. Raises CatalogError and InventoryError."""
    return dict(RenderedFolder(hosts).items())


def write(found: Files, folder: Path) -> None:
    """Write the files, the manifest last: it never lists a script that does not exist. Nothing is replaced if a script fails to render.

    Only the manifest is flushed to the disk: it has the hashes by which a script that a crash has damaged is found.
    Raises ApprovalError if the folder or a file in it is a link: what is approved must be what is in this folder.
    """
    with writing.refused(
        "render-not-written", "could not write to the folder ({reason})", where=folder, todo="Choose another folder with -o"
    ):
        with _folder(folder), writing.folder_for_new_files(folder, ".render-") as new:
            names, last = [], b""
            for name, data in found.items():
                if name == manifest.FILE_NAME:
                    last = data
                else:
                    names.append(name)
                    _create(new / name, data)
            for name in names:
                atomic_file.put_into_place(new / name, folder / name)
        atomic_file.write_bytes(folder / manifest.FILE_NAME, last)


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Create the folder, and remove it again if the block fails."""
    created = not exists(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _require_no_link(folder)
        yield
    except BaseException:
        if created:
            with suppress(OSError):
                folder.rmdir()
        raise


def _create(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _require_no_link(folder: Path) -> None:
    for name in sorted(plain_file.names(folder)):
        if plain_file.is_link(os.lstat(folder / name)):
            raise ApprovalError(
                "link-in-folder",
                "{file} is a link, which a rendered folder must not contain",
                where=plain_file.shown(folder),
                todo="Remove the link, or render into an empty folder",
                file=clean(name, 100),
            )


def compare(found: Files, folder: Path) -> None:
    """Raise an ApprovalError that names every file that is missing, differs or does not belong in the folder."""
    present = plain_file.names(folder) - {manifest.APPROVALS}
    strange, wrong = set(present), dict[str, Described]()
    for name, data in found.items():
        strange.discard(name)
        if name not in present:
            wrong[name] = message("file-not-in-folder", "{file} is missing", file=name)
        elif plain_file.read(folder / name, len(data) + LONGER, advice=RENDER_AGAIN) != data:
            wrong[name] = message("file-differs", "{file} differs from what this release renders", file=name)
    differences: list[Described] = [
        message("file-not-rendered", "{file} does not belong in this folder", file=clean(name, 100)) for name in sorted(strange)
    ]
    differences += [wrong[name] for name in sorted(wrong)]
    if differences:
        raise ApprovalError(
            "folder-differs",
            "the folder is not up to date: {differences}",
            where=plain_file.shown(folder),
            todo="Render the scripts again and have the differences approved",
            differences=Lines(differences, ", "),
        )
