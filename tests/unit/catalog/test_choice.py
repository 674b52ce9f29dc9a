"""Choosing by the host's Windows: what the shipped catalog has for each release, and the words where it has nothing."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import CatalogError
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.choice import numbers
from nbserver.catalog.entries import Download, Lock
from nbserver.catalog.reader import load
from nbserver.catalog.windows_releases import RELEASES, version
from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHostSettings
from nbserver.render.site_locks import SiteLocks
from nbserver.render.windows_host import render

HEX = "0123456789abcdef" * 4
SHIPPED = load()
NEW = ("3.13.15 exe", "3.5.6 msi", "14.51.36247.0", "3.13")
CHOSEN = [
    ("x64", "2012", ("3.8.10 exe", "3.5.6 msi", "14.29.30157", "3.8")),
    ("x64", "2012r2", ("3.12.10 zip", "3.5.6 msi", "14.44.35211.0", "3.12")),
    *(("x64", name, NEW) for name in (None, "2016", "2019", "2022", "2025", "10", "11")),
    *(("arm64", name, ("3.13.15 exe", "3.5.6 exe", "14.51.36247.0", "3.13")) for name in (None, "2025", "10", "11")),
]


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    """The settings of a rendered script, as the inventory with these changes gives them."""
    lines = "".join(
        f"{key.replace('__', '.')} = {str(value).lower() if isinstance(value, bool) else repr(value)}\n"
        for key, value in changes.items()
        if value is not None
    )
    text = f'[hosts.win1]\nsystem = "windows"\naddress = "win1.example.com"\nnotebook.password = {{ prompt = true }}\n{lines}'
    (folder / "nbserver.toml").write_text(text)
    (host,) = reader.load(folder / "nbserver.toml").hosts.values()
    return render(host, load(host.catalog), SiteLocks()).settings


@pytest.mark.parametrize(("architecture", "windows", "chosen"), CHOSEN)
def test_what_is_chosen_for_a_windows(tmp_path: Path, architecture: str, windows: str | None, chosen: tuple[str, ...]) -> None:
    found = settings(tmp_path, architecture=architecture, windows=windows, accept_end_of_life=windows == "2012")
    python, openssl = found["python"], found["openssl"]
    lock = SHIPPED.lock(python["version"], architecture)
    assert (
        f"{python['version']} {python['kind']}",
        f"{openssl['version']} {openssl['kind']}",
        found["vc_redist"]["version"],
        lock.python,
    ) == chosen
    assert (found["packages"]["lock_sha256"], found["windows"]) == (lock.sha256, windows)


def test_an_end_of_life_that_is_accepted_changes_no_default_elsewhere(tmp_path: Path) -> None:
    assert settings(tmp_path, accept_end_of_life=True) == settings(tmp_path)


def test_an_installer_is_chosen_for_an_old_windows_too(tmp_path: Path) -> None:
    found = settings(tmp_path, windows="2012r2", python__kind="exe", openssl__kind="exe")
    assert [(found[x]["version"], found[x]["kind"]) for x in ("python", "openssl")] == [("3.12.10", "exe"), ("3.5.6", "exe")]
    assert settings(tmp_path, windows="2012r2", python__version="3.11")["python"]["version"] == "3.11.9"


REFUSED = [
    (
        {"windows": "2012r2", "python__version": "3.13"},
        'Python 3.13 for x64 requires Windows 10, Server 2016 or newer, but the inventory has windows = "2012r2". '
        "Set python.version to an available version (3.11.9, 3.12.10), or if the host runs a newer Windows release, update the setting windows in the inventory",
    ),
    ({"windows": "2012", "accept_end_of_life": True, "python__version": "3.12"}, "requires Windows Server 2012 R2 or newer"),
    (
        {"windows": "2012", "accept_end_of_life": True, "python__version": "3.12"},
        "Set python.version to an available version (3.8.10), or if the host runs a newer Windows release",
    ),
    (
        {"windows": "2012", "accept_end_of_life": True, "python__kind": "zip"},
        "Remove python.kind and set python.version to an available version (3.8.10), or if the host runs a newer Windows release, update the setting windows",
    ),
    (
        {"python__version": "3.8"},
        "Python 3.8.10 for x64 no longer receives security fixes. To use a version without security fixes, set accept_end_of_life = true in the inventory, "
        "or set python.version to an available version (3.11.9, 3.12.10,",
    ),
    ({"windows": "2012r2", "architecture": "arm64"}, "Python 3.13 for arm64 requires Windows 10, Server 2016 or newer"),
    (
        {"windows": "2012r2", "architecture": "arm64"},
        "If the host runs a newer Windows release, update the setting windows in the inventory",
    ),
    ({"architecture": "arm64", "python__version": "3.11"}, "the catalog has no lock for Python 3.11.9 on arm64"),
    ({"architecture": "arm64", "openssl__kind": "zip"}, "OpenSSL 3.5 for arm64 (zip) is not in the catalog"),
    ({"openssl__kind": "zip"}, "OpenSSL 3.5 for x64 (zip) is unverified: the catalog has 3.5.8, 3.5.9"),
    ({"windows": "2012r2", "openssl__kind": "zip"}, "OpenSSL 3.5 for x64 (zip) requires Windows 10, Server 2016 or newer"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=[f"{number}" for number in range(len(REFUSED))])
def test_what_does_not_fit_a_windows(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CatalogError) as error:
        settings(tmp_path, **changes)
    assert words in str(error.value)


def test_an_entry_for_a_newer_windows_is_chosen_where_the_inventory_names_it(tmp_path: Path) -> None:
    entry = '[[python]]\nversion = "3.13.20"\narchitecture = "x64"\nkind = "zip"\nurl = "https://mirror.example.com/python-3.13.20.zip"\n'
    (tmp_path / "site.toml").write_text(f'{entry}sha256 = "{HEX}"\nexecutable = "python.exe"\nwindows = "10.0.17763"\n')
    for name, chosen in ((None, "3.13.15"), ("2016", "3.13.15"), ("2019", "3.13.20"), ("11", "3.13.20")):
        assert settings(tmp_path, catalog="site.toml", windows=name)["python"]["version"] == chosen
    with pytest.raises(
        CatalogError,
        match=r"requires Windows Server 2019 or newer, but the inventory does not set windows, .* set windows in the inventory",
    ):
        settings(tmp_path, catalog="site.toml", python__version="3.13.20")


def test_a_visual_c_runtime_of_the_site_goes_before_newer_ones_where_it_runs(tmp_path: Path) -> None:
    entry = '[[vc_redist]]\nversion = "14.40.1"\narchitecture = "x64"\nkind = "exe"\nurl = "https://mirror.example.com/vc.exe"\n'
    (tmp_path / "site.toml").write_text(f'{entry}sha256 = "{HEX}"\n')
    site = load(tmp_path / "site.toml")
    assert [site.vc_redist("x64", windows=name).version for name in (None, "2022", "2012r2")] == ["14.40.1", "14.40.1", "14.44.35211.0"]
    assert site.vc_redist("arm64") == SHIPPED.vc_redist("arm64")
    (tmp_path / "site.toml").write_text(entry)
    with pytest.raises(CatalogError, match=r"unverified: the catalog has 14\.40\.1,"):
        load(tmp_path / "site.toml").vc_redist("x64")


def test_the_inventory_knows_the_releases() -> None:
    allowed = WindowsHostSettings.model_json_schema()["properties"]["windows"]["anyOf"][0]["enum"]
    assert set(allowed) == set(RELEASES)
    assert [numbers(version(name)) < (10,) for name in ("2012", "2012r2", "2016", None)] == [True, True, False, False]


ARCHITECTURES, WINDOWS, ANY = ("x64", "arm64"), (None, *RELEASES), (False, True)
ENDS = ("choose", "add", "set accept_end_of_life", "update the setting windows", "set windows", "leave out", "put the entry")


def everything(
    catalog: Catalog, architecture: str, windows: str | None, accepted: bool, wanted: str | None
) -> tuple[Download, Download, Download, Lock]:
    python = catalog.python(wanted, architecture, windows=windows, end_of_life=accepted)
    openssl = catalog.openssl(None, architecture, windows=windows, end_of_life=accepted)
    return python, openssl, catalog.vc_redist(architecture, windows=windows), catalog.lock(python.version, architecture)


def fits(catalog: Catalog, architecture: str, windows: str | None, accepted: bool, wanted: str | None) -> None:
    """What is chosen fits the host and together, or the message says what to do."""
    try:
        python, openssl, vc_redist, lock = everything(catalog, architecture, windows, accepted, wanted)
    except CatalogError as error:
        assert any(words in str(error).lower() for words in ENDS), error
        return
    for download in (python, openssl, vc_redist):
        assert download.sha256 and download.architecture == architecture
        assert numbers(download.windows) <= numbers(version(windows))
    assert accepted or not (python.end_of_life or openssl.end_of_life)
    assert lock.architecture == architecture and python.version.startswith(f"{lock.python}.")


def test_the_shipped_catalog_fits_every_host_or_says_what_to_do() -> None:
    pythons = (None, *sorted({x.version for x in SHIPPED.downloads if x.name == "python"}), "3.8", "3.12", "3.13", "3")
    for host in itertools.product(ARCHITECTURES, WINDOWS, ANY, pythons):
        fits(SHIPPED, *host)


_entries = st.builds(
    Download,
    name=st.sampled_from(["python", "openssl", "vc_redist"]),
    version=st.sampled_from(["3.8.1", "3.12.1", "3.13.1", "3.13.2", "14.1.0", "14.2.0"]),
    architecture=st.sampled_from(ARCHITECTURES),
    kind=st.sampled_from(["zip", "exe"]),
    url=st.just("https://mirror.example.com/x"),
    sha256=st.sampled_from([HEX, None]),
    size=st.none(),
    executable=st.just(("x.exe",)),
    source=st.just(""),
    windows=st.sampled_from(["6.1", "6.2", "6.3", "10.0", "10.0.17763", "10.0.30000"]),
    end_of_life=st.booleans(),
)
_locks = st.builds(
    Lock,
    python=st.sampled_from(["3.8", "3.12", "3.13"]),
    architecture=st.sampled_from(ARCHITECTURES),
    file=st.just("lock.txt"),
    lines=st.just(()),
    sha256=st.just(HEX),
)


@given(
    st.lists(_entries, max_size=12),
    st.lists(_locks, max_size=4),
    st.sampled_from(ARCHITECTURES),
    st.sampled_from(WINDOWS),
    st.booleans(),
    st.sampled_from([None, "3", "3.8", "3.13"]),
)
def test_any_catalog_fits_the_host_or_says_what_to_do(
    downloads: list[Download], locks: list[Lock], architecture: str, windows: str | None, accepted: bool, wanted: str | None
) -> None:
    fits(Catalog(tuple(downloads), tuple(locks), "3.13", "3", ""), architecture, windows, accepted, wanted)
