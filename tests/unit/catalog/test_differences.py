"""What an update says about the site catalog that is there, entry by entry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nbserver.base.errors import DownloadError
from nbserver.catalog import site_catalog
from nbserver.catalog.update import Update
from tests.catalog_updates import MIRROR, OPENSSL, PYTHON, update
from tests.publishers import APRIL_OPENSSL, APRIL_PYTHON, digest, openssl_entry, openssl_index, python_entry, python_index


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(update({PYTHON: APRIL_PYTHON, OPENSSL: APRIL_OPENSSL}, python=("3.13", "3.14")).text, encoding="utf-8")
    return path


def changed(file: Path, index: bytes, openssl: bytes = APRIL_OPENSSL, *, python: tuple[str, ...] = ("3.13", "3.14")) -> Update:
    return update({PYTHON: index, OPENSSL: openssl}, file, python=python)


def test_an_entry_that_stays_keeps_its_source(site_file: Path) -> None:
    site_file.write_text(site_file.read_text().replace("2026-11-22", "2026-04-15"))
    found = changed(site_file, python_index(python_entry("3.13.16"), python_entry("3.14.4")))
    assert [x.lines()[0] for x in found.differences] == ["Python 3.13.16 for x64: changed"]
    assert (found.text.count("2026-04-15"), found.text.count("2026-11-22")) == (2, 1)


def test_the_file_is_the_same_whatever_the_order(site_file: Path) -> None:
    shuffled = update({PYTHON: APRIL_PYTHON, OPENSSL: APRIL_OPENSSL}, python=("3.14", "3.13", "3.14"))
    assert shuffled.text == site_file.read_text()
    assert site_catalog.text(reversed(site_catalog.read(site_file))) == site_file.read_text()


def test_another_hash_of_a_known_version_is_told(site_file: Path) -> None:
    found = changed(site_file, python_index(python_entry("3.13.13", hash={"sha256": "ab" * 32}), python_entry("3.14.4")))
    assert [line for x in found.differences for line in x.lines()] == [
        "Python 3.13.13 for x64: changed",
        f"- sha256     {digest('3.13.13-amd64')}",
        f"+ sha256     {'ab' * 32}",
    ]
    first, second = found.warnings
    assert first.startswith(f"Python 3.13.13 for x64 has a different SHA-256 than before in {site_file}: a released file must not change")
    assert "than in the shipped catalog" in second


def test_a_python_without_locked_packages_is_told(site_file: Path) -> None:
    (warning,) = changed(site_file, python_index(python_entry("3.15.2")), python=("3.15",)).warnings
    assert "no lock for Python 3.15.2 for x64" in warning
    assert not changed(site_file, APRIL_PYTHON).warnings


def test_an_older_release_of_another_branch_is_no_downgrade(site_file: Path) -> None:
    found = changed(site_file, python_index(python_entry("3.12.10")), python=("3.12",))
    assert [x.lines()[0] for x in found.differences] == [
        "Python 3.12.10 for x64: added",
        "Python 3.13.13 for x64: removed",
        "Python 3.14.4 for x64: removed",
    ]


def test_a_downgrade_counts_by_number(site_file: Path) -> None:
    older = python_index(python_entry("3.13.9"), python_entry("3.14.4"))
    with pytest.raises(DownloadError, match=r"the index offers Python 3\.13\.9 for x64, but .* already has 3\.13\.13"):
        changed(site_file, older)
    with pytest.raises(DownloadError, match=r"the index offers OpenSSL 3\.5\.5 for x64"):
        changed(site_file, APRIL_PYTHON, openssl_index(openssl_entry("3.5.5")))


def test_an_entry_is_paired_with_its_like(site_file: Path) -> None:
    kept = site_catalog.read(site_file)
    by_hand = [replace(x, version="3.13.12", url=f"{MIRROR}{x.version}.zip") for x in kept if x.version == "3.13.13"]
    site_file.write_text(site_catalog.text([*by_hand, *kept]), encoding="utf-8")
    assert [x.version for x in site_catalog.read(site_file)] == ["3.13.12", "3.13.13", "3.14.4", "3.5.6"]
    found = changed(site_file, python_index(python_entry("3.13.13", executable="bin\\python.exe"), python_entry("3.14.4")))
    assert [x.lines() for x in found.differences] == [
        ["Python 3.13.13 for x64: changed", "- executable python.exe", "+ executable bin\\python.exe"],
        [
            "Python 3.13.12 for x64: removed",
            "- version    3.13.12",
            "- kind       zip",
            f"- url        {MIRROR}3.13.13.zip",
            f"- sha256     {digest('3.13.13-amd64')}",
            "- executable python.exe",
            f"- source     {PYTHON}, read 2026-11-22",
        ],
    ]
