"""An update of a site catalog from pages that a test gives: the command's own code, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbserver.base.errors import DownloadError
from nbserver.catalog import reader
from nbserver.catalog.entries import Download
from nbserver.catalog.update import Fetch, Update, Wanted, prepare

MIRROR = "https://mirror.example.com:8443/"
PYTHON = f"{MIRROR}python/index-windows.json"
OPENSSL = f"{MIRROR}openssl.json"
SHIPPED = reader.load()
MIRRORED = Wanted(python_base=f"{MIRROR}python", openssl_index=OPENSSL)
NOWHERE = Path("there-is-no-such-file.toml")


def update(pages: Mapping[str, bytes], output: Path = NOWHERE, *, mirrored: bool = True, **wanted: Any) -> Update:
    """What would be written if the indexes were these; a page that is not among them cannot be read."""
    places = {"python_base": MIRRORED.python_base, "openssl_index": MIRRORED.openssl_index} if mirrored else {}
    return prepare(output, Wanted(**{**places, **wanted}), fetch_from(pages), date="2026-11-22", allow_downgrade=False)


def fetch_from(pages: Mapping[str, bytes]) -> Fetch:
    def fetch(url: str) -> bytes:
        if url not in pages:
            raise DownloadError("no-such-page", "there is no such page", where=url)
        return pages[url]

    return fetch


def written(folder: Path, text: str) -> list[Download]:
    """The entries of a site catalog, read by the catalog itself."""
    (folder / "site.toml").write_text(text, encoding="utf-8")
    return [x for x in reader.load(folder / "site.toml").downloads if x not in SHIPPED.downloads]
