"""bundle.json: the list of the files of a bundle, and where each of them is (see docs/formats.md).

Nothing in it depends on when or where the bundle was written.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

from nbserver.approval import manifest
from nbserver.base import file_format, file_lock, json_lines, plain_file, strict_json
from nbserver.base.errors import ApprovalError
from nbserver.base.message import DescribedError, cause, message
from nbserver.catalog import mirror

FILE_NAME = "bundle.json"
PARTIAL = "partial"
"""The folder of downloads that are not part of the bundle yet."""
LOCK = file_lock.beside(Path(FILE_NAME)).name
"""The file that exists while a process writes to the bundle."""
VERSION = 1
LARGEST = 4 * 1024**3
"""Maximum size of one file in bytes."""
_LIMIT, _MOST = 32_000_000, 20_000  # bytes of bundle.json, and its files
_KEYS = {"file": str, "kind": str, "name": str, "sha256": str, "size": int, "url": str, "version": str}
_PLAIN = {
    "file": mirror.FILE_NAME,
    "kind": re.compile(r"program|wheel"),
    "name": re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,98}[a-z0-9])?"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "url": re.compile(r"https?://[!-~]{1,2000}"),
    "version": re.compile(r"[0-9][0-9a-z.!+-]{0,99}"),
}


@dataclass(frozen=True, order=True)
class File:
    """A file that scripts download. `size` is in bytes, or None until it is known; `url` is where it came from.

    `kind` is program or wheel, `name` that of the program in the catalog or of the package, and `file` the name of the file.
    """

    kind: Literal["program", "wheel"]
    name: str
    version: str
    file: str
    sha256: str
    size: int | None
    url: str

    @property
    def path(self) -> str:
        """The path in the bundle, which is also the path below the URL of a mirror."""
        return mirror.path_of(self.sha256, self.file)


@dataclass(frozen=True)
class FileList:
    """The files that bundle.json lists, and the SHA-256 of bundle.json."""

    files: tuple[File, ...]
    sha256: str


def to_text(files: Iterable[File], release: str) -> str:
    """Return the text of bundle.json. The size of each file must be known."""
    return json_lines.dumps({"v": VERSION, "release": release, "files": [asdict(one) for one in sorted(files)]}) + "\n"


def page(files: Iterable[File]) -> str:
    """Return the page that lists the wheels."""
    links = (f'<a href="{one.path}#sha256={one.sha256}">{escape(one.file)}</a><br>' for one in sorted(files) if one.kind == "wheel")
    return "\n".join(["<!DOCTYPE html>", "<title>Wheels</title>", *links]) + "\n"


def partial(bundle: Path, file: File) -> Path:
    """Return where a file is until all files of a download are there."""
    return bundle / PARTIAL / f"{file.sha256}-{file.file}"


def is_bundle(folder: Path) -> bool:
    """Return whether a folder has the list of a bundle, and is not a rendered folder."""
    return os.path.lexists(folder / FILE_NAME) and not os.path.lexists(folder / manifest.FILE_NAME)


def read(bundle: Path) -> tuple[File, ...]:
    """Return the files that bundle.json lists. Raises ApprovalError."""
    return read_list(bundle).files


def read_list(bundle: Path) -> FileList:
    """Return the list of a bundle. Raises ApprovalError."""
    path = bundle / FILE_NAME
    data = plain_file.read(path, _LIMIT, advice=message("download-first", "Run nbserver download first"))
    try:
        value = strict_json.parse(data)
        file_format.require_supported(value, VERSION, plain_file.shown(path), ApprovalError)
        return FileList(_parsed(value), hashlib.sha256(data).hexdigest())
    except ValueError as error:
        raise ApprovalError(
            "bundle-list-invalid",
            "the bundle's list of files is not valid: {reason}",
            where=plain_file.shown(path),
            todo="Run nbserver download into a new folder",
            reason=cause(error, 1000),
        ) from None


def _parsed(value: Any) -> tuple[File, ...]:
    if not isinstance(value, dict) or value.keys() != {"v", "release", "files"} or not isinstance(value["files"], list):
        raise DescribedError("bundle-list-shape", "expected an object with v, release, and files")
    if not strict_json.same(value["v"], VERSION):
        raise DescribedError(
            "bundle-list-version", "the list's format version is not supported; expected version {version}", version=VERSION
        )
    if len(value["files"]) > _MOST:
        raise DescribedError("bundle-list-long", "the list contains more than {limit} files", limit=_MOST)
    found = tuple(_file(entry, number) for number, entry in enumerate(value["files"], 1))
    paths: set[str] = set()
    for one in found:
        if one.path.lower() in paths:
            raise DescribedError("bundle-file-twice", "the list contains {file} twice; names are not case-sensitive", file=one.path)
        paths.add(one.path.lower())
    return found


def _file(entry: Any, number: int) -> File:
    if not isinstance(entry, dict) or entry.keys() != _KEYS.keys():
        raise DescribedError("bundle-entry-keys", "file {number}: must have exactly the keys {keys}", number=number, keys=", ".join(_KEYS))
    for key, kind in _KEYS.items():
        if type(entry[key]) is not kind or (key in _PLAIN and not _PLAIN[key].fullmatch(entry[key])):
            raise DescribedError("bundle-entry-value", "file {number}: {key} is not valid", number=number, key=key)
    if not 0 < entry["size"] <= LARGEST:
        raise DescribedError("bundle-entry-size", "file {number}: size must be from 1 to {limit}", number=number, limit=LARGEST)
    return File(**entry)
