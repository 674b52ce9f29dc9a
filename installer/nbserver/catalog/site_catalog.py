"""A site catalog in the form that `nbserver catalog update` writes: reading it, and creating its text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import tomlkit

from nbserver import __version__
from nbserver.base.errors import CatalogError
from nbserver.catalog import reader, table_entries
from nbserver.catalog.choice import numbers
from nbserver.catalog.entries import Download
from nbserver.catalog.toml_tables import CatalogFile, Entry
from nbserver.settings import toml_lines

ARCHITECTURES = ("x64", "arm64")
_PROGRAMS = ("python", "openssl")

_HEADER = f"""\
# Site catalog, written by `nbserver catalog update` (release {__version__}) from the publishers' indexes.
# Review it before you use it: the files with these hashes will run on your hosts. Then add it to the inventory:
# catalog = "NAME OF THIS FILE". The command replaces the whole file; keep your own locks and entries in another file.
"""


def read(path: Path) -> list[Download]:
    """Return the entries of a site catalog. Raises CatalogError if it is not valid, or contains tables that `text` would lose."""
    reader.load(path)  # reports every error with its line
    file = toml_lines.read(path, CatalogError)
    for table, values in file.values.items():
        if values and table not in _PROGRAMS:
            raise CatalogError(
                "site-catalog-table-lost",
                "the file contains {table}, which would be lost: this command replaces the whole file",
                where=file.where((table,)),
                todo="Write to another file with -o and copy the entries manually",
                table=f"[[{table}]]" if isinstance(values, list) else f"[{table}]",
            )
    return table_entries.downloads(CatalogFile.model_validate(file.values))


def text(downloads: Iterable[Download]) -> str:
    """Return the text of the file: sorted by program, version and architecture, so that equal entries give equal bytes."""
    tables = []
    for download in sorted(downloads, key=_place):
        lines = [f"[[{download.name}]]", *_lines(download, {key: field.default for key, field in Entry.model_fields.items()})]
        for source in download.sources:
            inherited = {key: getattr(download, key) for key in Entry.model_fields if key not in ("url", "sha256", "size")}
            lines += ["", f"[[{download.name}.sources]]", *_lines(source, {**inherited, "url": None, "sha256": None, "size": None})]
        tables.append("\n".join(lines) + "\n")
    return "\n".join([_HEADER, *tables])


def _lines(download: Download, defaults: dict[str, object]) -> Iterator[str]:
    """Yield a line for each value that is not the default."""
    for key, default in defaults.items():
        value = getattr(download, key)
        if key == "sources" or not value or value == default:
            continue
        yield f"{key} = {_value(value[0] if key == 'executable' and len(value) == 1 else value)}"


def _place(download: Download) -> tuple[int, tuple[int, ...], int]:
    return _PROGRAMS.index(download.name), numbers(download.version), ARCHITECTURES.index(download.architecture)


def _value(value: str | int | bool | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str) and "\\" in value and "'" not in value:
        return f"'{value}'"  # a Windows path without escapes
    return str(tomlkit.item(value).as_string())
