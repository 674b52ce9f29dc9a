"""Other sources of an entry: what they leave out is as in the entry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nbserver.base.errors import CatalogError
from nbserver.catalog import check, reader, site_catalog
from nbserver.render.settings import Downloads
from nbserver.render.windows_host import program

HEX, OTHER, THIRD = ("0123456789abcdef" * 4, "1" * 64, "2" * 64)
TEXT = f"""
[[openssl]]
version = "3.5.6"
architecture = "x64"
kind = "msi"
url = "https://a.example.com/first.msi"
sha256 = "{HEX}"
size = 5
needs_vc_redist = true
executable = '%ProgramFiles%\\OpenSSL\\bin\\openssl.exe'

[[openssl.sources]]
url = "https://b.example.com/first.msi"
sha256 = "{OTHER}"

[[openssl.sources]]
url = "https://c.example.com/second.zip"
sha256 = "{THIRD}"
version = "3.5.9"
kind = "zip"
executable = 'x64\\bin\\openssl.exe'
size = 7
"""


def write(folder: Path, text: str = TEXT) -> Path:
    (folder / "site.toml").write_text(text)
    return folder / "site.toml"


def test_sources_in_their_order(tmp_path: Path) -> None:
    catalog = reader.load(write(tmp_path))
    entry = catalog.downloads[0]
    same, other = entry.sources
    assert same == replace(entry, url="https://b.example.com/first.msi", sha256=OTHER, size=None, sources=())
    assert (other.version, other.kind, other.executable, other.size) == ("3.5.9", "zip", ("x64\\bin\\openssl.exe",), 7)
    assert other.needs_vc_redist and other.architecture == "x64"
    settings = program(entry, Downloads(None, None, "direct")).as_json()
    assert [source["url"] for source in settings["sources"]] == [same.url, other.url] and settings["url"] == entry.url
    mirrored = program(entry, Downloads("https://mirror.example.com", None, "mirror")).as_json()
    assert [HEX in mirrored["url"], *(one["sha256"] in one["url"] for one in mirrored["sources"])] == [True, True, True]
    assert {same, other} <= set(check.used(catalog))


def test_catalog_update_keeps_them(tmp_path: Path) -> None:
    entries = site_catalog.read(write(tmp_path))
    written = site_catalog.text(entries)
    assert site_catalog.read(write(tmp_path, written)) == entries
    assert written.count("[[openssl.sources]]") == 2 and written.count("needs_vc_redist") == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (f'sha256 = "{OTHER}"\n', "", "site.toml:12: openssl[1].sources[1].sha256"),
        (f'sha256 = "{HEX}"\n', "", "an entry with sources must also have sha256"),
        ('kind = "zip"\n', "", 'with kind = "msi", executable must be an absolute path'),
        ("[[openssl.sources]]", '[[openssl.sources]]\narchitecture = "arm64"', "sources[1].architecture: unknown key"),
    ],
)
def test_a_source_that_cannot_be_used(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(CatalogError) as error:
        reader.load(write(tmp_path, TEXT.replace(old, new, 1)))
    assert words in str(error.value), str(error.value)
