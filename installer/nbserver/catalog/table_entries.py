"""The entries that the tables of a catalog file define."""

from __future__ import annotations

from collections.abc import Iterator

from nbserver.catalog.entries import Download
from nbserver.catalog.toml_tables import CatalogFile, Entry


def downloads(checked: CatalogFile) -> list[Download]:
    """Return the entries of the programs, in the order of the file."""
    tables: tuple[tuple[str, tuple[Entry, ...]], ...] = (
        ("python", checked.python),
        ("openssl", checked.openssl),
        ("vc_redist", checked.vc_redist),
    )
    return [_download(name, entry) for name, entries in tables for entry in entries]


def _download(name: str, entry: Entry) -> Download:
    values = {**entry.model_dump(exclude={"sources"}), "name": name}
    return Download(**values, sources=tuple(_sources(values, entry)))


def _sources(values: dict[str, object], entry: Entry) -> Iterator[Download]:
    """Yield the sources with all values. The size is that of another file, so it is not the entry's."""
    for source in entry.sources:
        own = source.model_dump(exclude_none=True)
        yield Download(**{**values, "size": None, **own})
