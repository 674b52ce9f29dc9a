"""OpenSSL as an msi, by the real step with real packages of Windows Installer: installed, upgraded, set back, and undone; one that
others installed is never replaced."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boxes import artifacts
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import run
from tests.boxes.winrm.endpoint import Endpoint
from tests.served import served
from tests.step_host import CACHE, PASSWORD, STATE, StepHost
from tests.tier import points

PLACE = r"C:\Program Files\OpenSSL\bin\openssl.exe"
OTHER_PLACE = r"C:\Program Files\OpenSSL-Win64\bin\openssl.exe"
UNINSTALL = r"HKEY_LOCAL_MACHINE\Software\Microsoft\Windows\CurrentVersion\Uninstall"
OLD, NEW = "3.5.7", "3.5.9"


Packages = dict[tuple[str, bool], dict[str, Any]]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packages]:
    """The settings of OpenSSL by version, and by whether the package upgrades by itself; they are served on this machine."""
    folder = tmp_path_factory.mktemp("packages")
    made: Packages = {}
    with served(folder) as url:
        for version in (OLD, NEW):
            for upgrades in (False, True):
                try:
                    content = artifacts.openssl_msi(artifacts.cache_folder(), version, upgrades=upgrades).read_bytes()
                except LookupError as missing:
                    pytest.skip(f"packages of OpenSSL to be installed cannot be made: {missing}")
                name = f"openssl{'-upgrading' * upgrades}-{version}.msi"
                (folder / name).write_bytes(content)
                made[version, upgrades] = {
                    "kind": "msi",
                    "version": version,
                    "url": url + name,
                    "size": None,
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "executable": [r"%ProgramFiles%\OpenSSL\bin\openssl.exe", r"%ProgramFiles%\OpenSSL-Win64\bin\openssl.exe"],
                    "sources": [],
                }
        yield made


@pytest.fixture(scope="module")
def endpoint(windows_host: WindowsBox) -> Iterator[Endpoint]:
    with windows_host.endpoint(auth=["basic"], https=True, password=PASSWORD, one_process=True) as endpoint:
        yield endpoint


@pytest.fixture
def host(
    windows_host: WindowsBox, endpoint: Endpoint, packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StepHost]:
    monkeypatch.setenv("STEPS_PASSWORD", PASSWORD)
    host = StepHost(windows_host, endpoint, tmp_path, ("openssl",), openssl=packages[OLD, False])
    yield host
    for version in installed(host):
        run(windows_host.prefix, "msiexec", "/x", "{" + product(version) + "}", "/qn")
    host.clean_up()
    for place in (PLACE, OTHER_PLACE):
        shutil.rmtree(windows_host.path(place).parents[1], ignore_errors=True)


def product(version: str) -> str:
    return artifacts.openssl_product(version).upper()


def program(version: str) -> bytes:
    """openssl.exe as the package of this version has it."""
    with zipfile.ZipFile(artifacts.openssl_zip()) as archive:
        return artifacts.with_version(archive.read("OpenSSL-Win64/bin/openssl.exe"), version)


def installed(host: StepHost) -> list[str]:
    """The versions that Windows knows as installed."""
    keys = host.windows.registry(UNINSTALL)
    return [version for version in (OLD, NEW) if any(product(version) in key.upper() for key in keys)]


def put(host: StepHost, place: str, content: bytes) -> Path:
    """A program that somebody else has put there."""
    path = host.windows.path(place)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def differences(host: StepHost) -> list[tuple[str, Any, Any]]:
    ran = host.run("test")
    assert ran.result.outcome in ("ok", "differs"), ran.events
    return [(one["what"], one["is"], one["should"]) for one in ran.of("difference")]


@pytest.mark.parametrize(
    ("first", "second", "upgrades"),
    points([(OLD, NEW, False), (OLD, NEW, True), (NEW, OLD, False), (NEW, OLD, True)], (OLD, NEW, False), (NEW, OLD, True)),
)
def test_another_version_takes_the_place_of_the_one_that_the_record_names(
    host: StepHost, packages: Packages, first: str, second: str, upgrades: bool
) -> None:
    """Whether its package would replace the other one by itself, refuse to, or stand beside it."""
    path = host.windows.path(PLACE)
    host.settings["openssl"] = packages[first, upgrades]
    assert differences(host) == [("OpenSSL", None, PLACE)]
    assert host.run("apply").result.changed == 1 and installed(host) == [first] and path.read_bytes() == program(first)
    assert differences(host) == [] and host.run("apply").result.changed == 0

    host.settings["openssl"] = packages[second, upgrades]
    assert differences(host) == [("OpenSSL", first, second)]
    ran = host.run("apply")
    assert (ran.result.outcome, ran.result.changed) == ("ok", 1), ran.events
    assert installed(host) == [second] and path.read_bytes() == program(second)
    assert [line["key"].rpartition("-")[2] for line in host.record() if line["kind"] == "msi"] == [f"{second}.msi"]
    assert differences(host) == [] and host.run("apply").result.changed == 0

    assert host.run("undo").result.outcome == "ok"
    assert installed(host) == [] and not path.exists() and host.record() == []


def test_what_somebody_took_away_or_exchanged_is_installed_again(host: StepHost, packages: Packages) -> None:
    path = host.windows.path(PLACE)
    host.run("apply")
    for damage in (path.unlink, lambda: path.write_bytes(program(NEW))):
        damage()
        ran = host.run("apply")
        assert (ran.result.outcome, ran.result.changed) == ("ok", 1), ran.events
        assert path.read_bytes() == program(OLD) and installed(host) == [OLD]
    # the same version, and another file
    host.settings["openssl"] = {**packages[NEW, False], "version": OLD}
    path.write_bytes(program(OLD))
    ((what, is_, should),) = differences(host)
    assert (what, is_) == ("OpenSSL package", "a different package") and should.endswith(f"-openssl-{NEW}.msi")


@pytest.mark.parametrize("place", [PLACE, OTHER_PLACE])
@pytest.mark.parametrize(("content", "version"), [(b"any file", "0.0.0"), (None, NEW)], ids=["no program", "another version"])
def test_one_of_others_in_another_version_is_never_replaced(host: StepHost, place: str, content: bytes | None, version: str) -> None:
    path = put(host, place, content or program(version))
    before = path.read_bytes()
    for adopt in (False, True):
        host.settings["adopt"] = adopt
        for ran in (host.run("test"), host.run("apply")):
            assert ran.result.outcome == "failed"
            assert (
                f"OpenSSL {version} ({place}) was not installed by nbserver, and the MSI package for {OLD} would replace it permanently"
                in ran.failure
            )
    assert path.read_bytes() == before and installed(host) == [] and host.record() == []


def test_one_of_others_in_the_version_wanted_is_used_when_it_is_adopted(host: StepHost) -> None:
    path = put(host, OTHER_PLACE, program(OLD))
    ran = host.run("apply")
    assert ran.result.outcome == "failed" and "Set adopt = true in the inventory to use it, or uninstall it" in ran.failure
    host.settings["adopt"] = True
    assert differences(host) == [] and host.run("apply").result.changed == 0
    assert host.run("undo").result.outcome == "ok"
    assert path.read_bytes() == program(OLD) and installed(host) == []


def test_the_place_with_the_version_wanted_is_the_one_that_is_used(host: StepHost) -> None:
    """An old one of somebody else stands in the other of the catalog's places, after this one was installed."""
    host.settings["openssl"] = {
        **host.settings["openssl"],
        "executable": [r"%ProgramFiles%\OpenSSL-Win64\bin\openssl.exe", r"%ProgramFiles%\OpenSSL\bin\openssl.exe"],
    }
    assert host.run("apply").result.changed == 1
    put(host, OTHER_PLACE, program(NEW))
    assert differences(host) == []


def test_undo_ends_when_the_cache_was_cleared(host: StepHost) -> None:
    """Windows' own copy is enough; and what somebody has removed in Apps meanwhile is gone."""
    path = host.windows.path(PLACE)
    for removed_by_hand in (False, True):
        assert host.run("apply").result.outcome == "ok"
        (cached,) = host.windows.path(CACHE).glob("*.msi")
        cached.unlink()
        if removed_by_hand:
            run(host.windows.prefix, "msiexec", "/x", "{" + product(OLD) + "}", "/qn")
        ran = host.run("undo")
        assert ran.result.outcome == "ok", ran.failure
        assert installed(host) == [] and not path.exists() and host.record() == []


def test_a_package_that_is_removed_by_hand_is_no_failure_of_undo(host: StepHost) -> None:
    host.run("apply")
    run(host.windows.prefix, "msiexec", "/x", "{" + product(OLD) + "}", "/qn")
    assert host.run("undo").result.outcome == "ok" and host.record() == []


def test_a_package_that_fails(host: StepHost, packages: Packages) -> None:
    """Windows knows a newer one, which stands where nobody looks for it: the real msiexec ends with 1603, and there is a log."""
    host.settings["openssl"] = packages[NEW, True]
    assert host.run("apply").result.outcome == "ok"
    host.clean_up()
    host.windows.path(PLACE).unlink()
    host.settings["openssl"] = packages[OLD, True]
    ran = host.run("apply")
    assert ran.result.outcome == "failed"
    assert f"-openssl-upgrading-{OLD}.msi failed (exit code 1603). If there is a log in" in ran.failure
    assert list(host.windows.path(STATE).glob("runs/*/msi.log")) and installed(host) == [NEW]
    run(host.windows.prefix, "msiexec", "/x", "{" + product(NEW) + "}", "/qn")  # Wine tests the condition before a removal too
    assert host.run("undo").result.outcome == "ok" and host.record() == []
