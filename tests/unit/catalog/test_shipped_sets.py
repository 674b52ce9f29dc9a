"""The shipped locks of packages.set: complete, as they were written, and in the scripts of all kinds of hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.approval import audit
from nbserver.approval.reference import Reference
from nbserver.catalog import reader, shipped_sets, written_lock
from nbserver.catalog.lock_kind import LockKind
from nbserver.catalog.package_request import SETS, PackageRequest
from nbserver.catalog.site_lock import SiteLock
from nbserver.commands import render
from nbserver.inventory import reader as inventory
from nbserver.inventory.package_choice import PackageChoice
from nbserver.review import package_facts
from tests.rendered_folders import put

SCIENCE = PackageChoice.model_validate({"set": "science"})
LOCKS = shipped_sets.load_all()
KINDS = [LockKind.of("linux", architecture, None) for architecture in ("x64", "arm64")] + [
    LockKind.of("windows", lock.architecture, lock.python) for lock in reader.load().locks
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_kind_has_a_lock_that_fits(kind: LockKind) -> None:
    lock = LOCKS[f"science/{kind.file_name}"]
    assert written_lock.is_written(lock.text) and not written_lock.is_edited(lock.text)
    assert written_lock.fits(lock.text, PackageRequest.of(SCIENCE, kind))
    windows = {python: lock.for_windows(kind.architecture, python).lines for python in kind.pythons} if kind.python else {}
    linux = {} if kind.python else {python: lock.for_linux(kind.architecture, python).lines for python in kind.pythons}
    for lines in (windows | linux).values():
        assert {line.partition("==")[0] for line in lines} >= set(SETS["science"])
        assert all(package.summary for package in package_facts.packages(lines))


def test_the_versions_of_the_notebook_server_are_those_of_its_lock() -> None:
    for one in reader.load().locks:
        own = SiteLock.of("\n".join(one.lines).encode(), "")
        lock = LOCKS[f"science/{LockKind.of('windows', one.architecture, one.python).file_name}"]
        assert {(x.name, x.version) for x in own.packages} <= {(x.name, x.version) for x in lock.packages}


def test_a_set_alone_needs_no_command(tmp_path: Path) -> None:
    path = tmp_path / "nbserver.toml"
    path.write_text(
        '[defaults]\nnotebook.password = { prompt = true }\npackages.set = "science"\n'
        '[hosts.win1]\nsystem = "windows"\naddress = "a.example.com"\n'
        '[hosts.lin1]\nsystem = "linux"\naddress = "b.example.com"\nuser = "anna"\n'
        '[hosts.lin2]\nsystem = "linux"\naddress = "c.example.com"\nuser = "anna"\npython.version = "3.12"\narchitecture = "arm64"\n',
        "utf-8",
    )
    folder = put(render.files(list(inventory.load(path).hosts.values())), tmp_path / "rendered")
    report = "\n".join(audit.audit(folder, Reference.load()))
    for name in ("windows-x64-python3.13.txt", "linux-x64.txt", "linux-arm64.txt"):
        assert f"packages from the lock science/{name} of release" in report
