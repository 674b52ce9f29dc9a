"""Choosing from a loaded catalog: its defaults, its versions, and the words where it has nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import CatalogError
from nbserver.catalog.catalog import Catalog, Programs
from nbserver.catalog.entries import Download
from nbserver.catalog.reader import load
from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHost
from tests.checkout import CHECKOUT

HEX = "0123456789abcdef" * 4
SHIPPED = load()


def test_a_host_gets_its_programs_and_the_packages_of_its_python() -> None:
    host = reader.load(CHECKOUT / "nbserver.sample.toml").hosts["win1"]
    assert isinstance(host, WindowsHost)
    python, openssl = SHIPPED.python(None, "x64"), SHIPPED.openssl(None, "x64")
    assert SHIPPED.programs_for(host) == Programs(python, openssl, SHIPPED.vc_redist("x64"), SHIPPED.lock(python.version, "x64"))
    needs_none = replace(SHIPPED, downloads=tuple(replace(download, needs_vc_redist=False) for download in SHIPPED.downloads))
    assert needs_none.programs_for(host).vc_redist is None


def test_a_patch_of_a_branch_that_was_shipped_as_exe_is_a_zip() -> None:
    """Hosts with the exe refuse a newer one, which would move the Python of their server. Newer: shipped after release 0.7.0."""
    last_exe = {"3.8": 10, "3.11": 9, "3.12": 10, "3.13": 15, "3.14": 7}
    for entry in SHIPPED.downloads:
        if entry.name == "python" and entry.kind == "exe":
            branch, _, patch = entry.version.rpartition(".")
            assert int(patch) <= last_exe.get(branch, int(patch)), f"{entry.version} as exe would be refused by each host that has {branch}"


def test_the_defaults_can_be_had() -> None:
    assert SHIPPED.python(None, "x64").version == "3.13.15"
    assert SHIPPED.python(None, "arm64").url.endswith("-arm64.exe")
    openssl = SHIPPED.openssl(None, "x64")
    assert (openssl.version, openssl.kind, len(openssl.executable)) == ("3.5.6", "msi", 2)
    assert SHIPPED.lock("3.13.13", "x64") == SHIPPED.lock("3.13", "x64")


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        (lambda: SHIPPED.python("3.13.16", "x64"), "Python 3.13.16 for x64 is unverified: the catalog has 3.13.16"),
        (
            lambda: SHIPPED.python("3.13.16", "x64"),
            "or set python.version to an available version (3.11.9, 3.12.10, 3.13.13, 3.13.15, 3.14.4, 3.14.7)",
        ),
        (lambda: SHIPPED.python("3.1", "x64"), "Python 3.1 for x64 is not in the catalog. Set python.version"),
        (lambda: SHIPPED.python("2", "x64"), "Python 2 for x64 is not in the catalog"),
        (
            lambda: SHIPPED.openssl(None, "arm64", "msi"),
            "OpenSSL 3.5 for arm64 (msi) is not in the catalog. Remove openssl.kind and set openssl.version to an available version (3.5.6), or add an entry for OpenSSL 3.5 for arm64 (msi) to a site catalog",
        ),
        (
            lambda: SHIPPED.lock("3.11.9", "arm64"),
            "no lock for Python 3.11.9 on arm64; it has locks for: 3.11 (x64)",
        ),
        (lambda: SHIPPED.lock("3.1", "x64"), "no lock for Python 3.1 on x64"),
    ],
)
def test_what_cannot_be_chosen(choose: object, words: str) -> None:
    with pytest.raises(CatalogError) as error:
        choose()  # type: ignore[operator]
    assert words in str(error.value)


_versions = st.tuples(*[st.integers(0, 12)] * 3)


@given(st.lists(st.tuples(_versions, st.booleans()), unique_by=lambda x: x[0], max_size=8), _versions, st.integers(1, 3))
def test_the_highest_verified_version_is_chosen(entries: list[tuple[tuple[int, ...], bool]], wanted: tuple[int, ...], length: int) -> None:
    def text(numbers: tuple[int, ...]) -> str:
        return ".".join(map(str, numbers))

    downloads = tuple(
        Download("python", text(v), "x64", "zip", "https://x/y", HEX if known else None, None, ("p",), "") for v, known in entries
    )
    prefix = wanted[:length]
    fitting = [v for v, known in entries if known and v[:length] == prefix]
    catalog = Catalog(downloads, (), "3", "3", "")
    if fitting:
        assert catalog.python(text(prefix), "x64").version == text(max(fitting))
    else:
        with pytest.raises(CatalogError):
            catalog.python(text(prefix), "x64")
