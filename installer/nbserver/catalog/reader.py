"""Load a catalog: version, URL, size and SHA-256 of every program, and the locks of the packages.

The shipped catalog is package data (catalog/data/windows.toml). A site catalog can override it.
"""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nbserver.base.errors import ApprovalError, CatalogError
from nbserver.base.message import Described, message
from nbserver.catalog import lock_lines, table_entries
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.entries import Download, Lock
from nbserver.catalog.toml_tables import CatalogFile, LockEntry
from nbserver.settings.faults import dotted, faults, in_file
from nbserver.settings.toml_lines import Key, Readable, TomlFile, parse, read
from nbserver.settings.working_file import WorkingFile


def load(overlay: Path | None = None) -> Catalog:
    """Load the shipped catalog and apply a site catalog to it.

    An entry of the site catalog replaces the shipped one with the same program, version, architecture and kind. A lock replaces the
    one with the same Python version and architecture. Its [defaults] are merged key by key.
    Raises CatalogError with file and line for every error in a catalog or lock, and ApprovalError if others may write to the site
    catalog or its lock.
    """
    data = importlib.resources.files("nbserver").joinpath("catalog", "data")
    shipped = data.joinpath("windows.toml")
    layers = [_read_layer(parse(shipped.read_bytes(), CatalogError, name="windows.toml"), data)]
    if overlay is not None:
        file = read(WorkingFile(overlay, ApprovalError), CatalogError, name=str(overlay))
        layers.insert(0, _read_layer(file, _SiteFolder(overlay.parent)))
    downloads: dict[tuple[str, ...], Download] = {}
    locks: dict[tuple[str, str], Lock] = {}
    defaults: dict[str, str] = {}
    digest = hashlib.sha256()
    for layer in layers:
        for download in layer.downloads:
            downloads.setdefault((download.name, download.version, download.architecture, download.kind), download)
        for lock in layer.locks:
            locks.setdefault((lock.python, lock.architecture), lock)
        defaults = {**layer.defaults, **defaults}
        for content in layer.contents:
            digest.update(hashlib.sha256(content).digest())
    of_site = len(layers[0].downloads) if overlay is not None else 0
    return Catalog(tuple(downloads.values()), tuple(locks.values()), defaults["python"], defaults["openssl"], digest.hexdigest(), of_site)


class _Folder(Protocol):
    def joinpath(self, name: str, /) -> Readable: ...


@dataclass(frozen=True)
class _SiteFolder:
    path: Path

    def joinpath(self, name: str, /) -> Readable:
        return WorkingFile(self.path / name, ApprovalError)


@dataclass(frozen=True)
class _Layer:
    downloads: list[Download]
    locks: list[Lock]
    defaults: dict[str, str]
    contents: list[bytes]


def _read_layer(file: TomlFile, folder: _Folder) -> _Layer:
    wrong: list[tuple[int, Described]] = [(file.line(key), reason) for key, reason in faults(file.values, CatalogFile, {}, missing=True)]
    if not wrong:
        wrong = [
            (file.line(key), message("entry-twice", "{key}: the entry duplicates an earlier one", key=dotted(key)))
            for key in _repeated(file.values)
        ]
    _raise(file.name, wrong)
    checked = CatalogFile.model_validate(file.values)
    contents = [file.content]
    locks = []
    for index, entry in enumerate(checked.lock):
        try:
            content = folder.joinpath(entry.file).read_bytes()
        except OSError as reason:
            raise CatalogError(
                "lock-unreadable",
                "could not read the lock {file}: {reason}",
                todo="Check that the file exists and that you can read it",
                where=file.where(("lock", index, "file")),
                file=entry.file,
                reason=reason.strerror,
            ) from None
        contents.append(content)
        locks.append(_lock(entry, content))
    return _Layer(table_entries.downloads(checked), locks, checked.defaults.model_dump(exclude_none=True), contents)


def _repeated(values: dict[str, Any]) -> list[Key]:
    """Return the locations of entries that duplicate an earlier one."""
    repeated: list[Key] = []
    for table, names in (
        ("python", "version architecture kind"),
        ("openssl", "version architecture kind"),
        ("vc_redist", "version architecture kind"),
        ("lock", "python architecture"),
    ):
        seen: set[tuple[Any, ...]] = set()
        for index, entry in enumerate(values.get(table, [])):
            identity = tuple(entry[name] for name in names.split())
            if identity in seen:
                repeated.append((table, index))
            seen.add(identity)
    return repeated


def _lock(entry: LockEntry, content: bytes) -> Lock:
    """Read a lock. Each line must be empty, a comment, or one package with its hashes."""
    packages: dict[str, str] = {}
    wrong: list[tuple[int, Described]] = []
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        line = line.rstrip()
        name = lock_lines.package_of(line, conditions=False)
        if not line or line.startswith("#"):
            continue
        if name is None:
            malformed = message(
                "lock-line-invalid",
                "the line is not valid; expected NAME==VERSION --hash=sha256:HEX, with a lower-case name and 64 hex digits",
            )
            wrong.append((number, malformed))
        elif name in packages:
            wrong.append((number, message("package-twice", "{name} is listed twice", name=name)))
        else:
            packages[name] = line
    if not packages and not wrong:
        wrong.append((1, message("lock-empty", "the file contains no packages")))
    _raise(entry.file, wrong)
    lines = tuple(packages[name] for name in sorted(packages))
    return Lock(entry.python, entry.architecture, entry.file, lines, lock_lines.digest(lines), lock_lines.made(content))


def _raise(name: str, wrong: Iterable[tuple[int, Described]]) -> None:
    found = sorted(set(wrong), key=lambda fault: (fault[0], str(fault[1])))
    if found:
        raise CatalogError("catalog-invalid", "{faults}", where=f"{name}:{found[0][0]}", faults=in_file(name, found))
