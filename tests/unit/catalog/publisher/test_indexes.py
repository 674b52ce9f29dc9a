"""Which release an index gives: the same code as the command, without a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import DownloadError
from nbserver.catalog.entries import Download
from nbserver.catalog.publisher import index_json, indexes, urls
from nbserver.catalog.reader import load
from tests.catalog_updates import MIRROR, OPENSSL, PYTHON, SHIPPED, update, written
from tests.publishers import (
    APRIL_OPENSSL,
    APRIL_PYTHON,
    digest,
    legacy_entry,
    openssl_entry,
    openssl_index,
    python_entry,
    python_index,
)

MSI = Download("openssl", "1.1.1", "x64", "msi", "https://x/y.msi", None, None, (r"%ProgramFiles%\OpenSSL\bin\openssl.exe",), "")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["python 3.13.13 x64", "openssl 3.5.6 x64"]),
        ({"python": ("3.14", "3.13")}, ["python 3.13.13 x64", "python 3.14.4 x64", "openssl 3.5.6 x64"]),
        ({"openssl": ("3.6", "3.5.6", "3.5")}, ["python 3.13.13 x64", "openssl 3.5.6 x64", "openssl 3.6.2 x64"]),
    ],
)
def test_what_is_wanted(tmp_path: Path, wanted: dict[str, Any], expected: list[str]) -> None:
    found = written(tmp_path, update({PYTHON: APRIL_PYTHON, OPENSSL: APRIL_OPENSSL}, **wanted).text)
    assert [f"{x.name} {x.version} {x.architecture}" for x in found] == expected


def test_both_processors(tmp_path: Path) -> None:
    """For arm64 the exe, as the shipped catalog has it."""
    found = written(tmp_path, update({PYTHON: APRIL_PYTHON, OPENSSL: APRIL_OPENSSL}, architectures=("arm64", "x64")).text)
    assert [(x.name, x.architecture, x.url.rpartition("/")[2]) for x in found] == [
        ("python", "x64", "python-3.13.13-amd64.zip"),
        ("python", "arm64", "python-3.13.13-arm64.zip"),
        ("openssl", "x64", "Win64OpenSSL_Light-3_5_6.msi"),
        ("openssl", "arm64", "Win64ARMOpenSSL_Light-3_5_6.exe"),
    ]
    assert [x.sha256 for x in found] == [digest(name) for name in ("3.13.13-amd64", "3.13.13-arm64", "3.5.6", "3.5.6-ARM-exe")]
    shipped = SHIPPED.openssl(None, "arm64")
    assert found[3] == replace(shipped, source=found[3].source, size=found[3].size)
    chosen = load(tmp_path / "site.toml").openssl(None, "arm64")
    assert chosen == found[3], "a host of this catalog gets it"


def test_a_newer_patch_for_arm64_reaches_its_hosts(tmp_path: Path) -> None:
    pages = {
        PYTHON: APRIL_PYTHON,
        OPENSSL: openssl_index(openssl_entry("3.5.9", arch="ARM", installer="exe"), openssl_entry("3.5.9", arch="ARM")),
    }
    found = written(tmp_path, update(pages, architectures=("arm64",)).text)
    assert [(x.name, x.version, x.kind) for x in found] == [("python", "3.13.13", "zip"), ("openssl", "3.5.9", "exe")]
    assert load(tmp_path / "site.toml").openssl(None, "arm64") == found[1]


def test_what_the_indexes_do_not_tell_is_as_in_the_shipped_catalog(tmp_path: Path) -> None:
    """The lowest Windows of a branch: without it a host with an older Windows would be offered nothing, or the wrong thing."""
    pages = {
        PYTHON: python_index(
            python_entry("3.12.11"), python_entry("3.13.17"), python_entry("3.12.11", "arm64"), python_entry("3.13.17", "arm64")
        ),
        OPENSSL: openssl_index(
            *(
                openssl_entry(version, arch=arch, installer=kind)
                for version in ("3.5.9", "4.0.3")
                for arch, kind in (("INTEL", "msi"), ("ARM", "exe"))
            )
        ),
    }
    text = update(pages, python=("3.12", "3.13"), openssl=("3.5", "4.0"), architectures=("x64", "arm64")).text
    lowest = {(x.name, x.version, x.architecture): x.windows for x in written(tmp_path, text)}
    older = {("python", "3.12.11", "x64"): "6.3", ("openssl", "3.5.9", "x64"): "6.2"}
    assert len(lowest) == 8 and lowest == {**dict.fromkeys(lowest, "10.0"), **older}
    assert text.count("windows = ") == 2 and "end_of_life" not in text
    overlaid = load(tmp_path / "site.toml")
    chosen = overlaid.python(None, "x64", windows="2012r2"), overlaid.openssl(None, "x64", windows="2012r2")
    assert [x.version for x in chosen] == ["3.12.11", "3.5.9"]
    assert overlaid.vc_redist("x64", windows="2012r2") == SHIPPED.vc_redist("x64", windows="2012r2")
    assert overlaid.lock("3.12.11", "x64") == SHIPPED.lock("3.12", "x64")


def test_a_mirror_may_name_its_own_files(tmp_path: Path) -> None:
    python = python_index(python_entry("3.13.13", url=f"{MIRROR}files/python-3.13.13-amd64.zip"))
    openssl = openssl_index(openssl_entry("3.5.6", url=f"{MIRROR}Win64OpenSSL_Light-3_5_6.msi", sha256=digest("3.5.6").upper()))
    first, second = written(tmp_path, update({PYTHON: python, OPENSSL: openssl}).text)
    assert (first.url, second.url) == (f"{MIRROR}files/python-3.13.13-amd64.zip", f"{MIRROR}Win64OpenSSL_Light-3_5_6.msi")
    assert second.sha256 == digest("3.5.6")
    assert first.source == f"{PYTHON}, read 2026-11-22"


def test_the_newest_may_stand_on_any_page(tmp_path: Path) -> None:
    pages = {
        PYTHON: python_index(python_entry("3.13.9"), next="recent.json"),
        f"{MIRROR}python/recent.json": python_index(python_entry("3.13.10"), next=f"{MIRROR}python/legacy.json"),
        f"{MIRROR}python/legacy.json": python_index(legacy_entry("3.13.2"), next=None),
        OPENSSL: APRIL_OPENSSL,
    }
    python, _ = written(tmp_path, update(pages).text)
    assert (python.version, python.source) == ("3.13.10", f"{MIRROR}python/recent.json, read 2026-11-22")


numbers = st.integers(0, 30)


@given(
    st.lists(st.tuples(st.sampled_from(["3.1", "3.13", "3.131"]), numbers, st.sampled_from(["", "a", "b", "rc"])), min_size=1, max_size=12)
)
def test_the_highest_release_is_chosen_by_number(releases: list[tuple[str, int, str]]) -> None:
    versions = [f"{branch}.{patch}{pre and pre + '1'}" for branch, patch, pre in releases]
    page = index_json.parse(python_index(*map(python_entry, versions)), PYTHON)
    publisher = urls.python_org(None)
    patches = [patch for branch, patch, pre in releases if (branch, pre) == ("3.13", "")]
    if patches:
        found = indexes.python([page], "3.13", "x64", publisher, "2026-11-22")
        assert found.version == f"3.13.{max(patches)}"
        assert found.sha256 == digest(f"{found.version}-amd64")
        assert indexes.python([page], f"3.13.{min(patches)}", "x64", publisher, "").version == f"3.13.{min(patches)}"
    else:
        with pytest.raises(DownloadError, match=r"the index has no release of Python 3\.13 for x64"):
            indexes.python([page], "3.13", "x64", publisher, "2026-11-22")


@given(st.lists(st.tuples(st.sampled_from(["3.5", "3.50", "3.0"]), numbers, st.sampled_from(["INTEL", "ARM"])), min_size=1, max_size=12))
def test_the_highest_openssl_is_chosen_by_number(releases: list[tuple[str, int, str]]) -> None:
    content = openssl_index(*(openssl_entry(f"{branch}.{patch}", arch=arch) for branch, patch, arch in releases))
    index = index_json.parse(content, OPENSSL)
    publisher = urls.slproweb(None)
    patches = [patch for branch, patch, arch in releases if (branch, arch) == ("3.5", "INTEL")]
    if patches:
        assert indexes.openssl(index, "3.5", "x64", publisher, "", MSI).version == f"3.5.{max(patches)}"
    else:
        with pytest.raises(DownloadError, match=r"the index has no release of the Light msi of OpenSSL 3\.5 for x64"):
            indexes.openssl(index, "3.5", "x64", publisher, "", MSI)
