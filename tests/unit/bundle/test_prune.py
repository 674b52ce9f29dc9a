"""What --prune may touch: files at paths that a bundle can have, and no link."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nbserver.bundle import check, contents, fetch
from nbserver.bundle import prune as pruning
from nbserver.bundle.prune import prune
from nbserver.bundle.wanted import Packages, Pin
from nbserver.catalog.lock_kind import LockKind
from tests.unit.bundle.test_check import put


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_files_of_a_bundle_are_removed_and_nothing_else(tmp_path: Path) -> None:
    bundle, outside = tmp_path / "bundle", tmp_path / "outside"
    kept, old = put(bundle, "tool.zip", b"tool"), put(bundle, "old.zip", b"old")
    unlisted = put(bundle, "half.zip", b"half")  # of an earlier run
    strange = put(bundle, "strange.zip", b"strange")
    (bundle / strange.path).rename(bundle / "files" / "notes.txt")
    folder = (bundle / strange.path).parent
    folder.rmdir()
    outside.mkdir()
    (outside / strange.file).write_bytes(b"mine")
    folder.symlink_to(outside)
    (bundle / unlisted.path).with_name("linked.zip").symlink_to(outside / strange.file)
    with fetch.opened(bundle):
        assert prune(bundle, [kept]) == tuple(sorted((old.path, unlisted.path)))
    assert contents.read(bundle) == (kept,)
    assert (outside / strange.file).read_bytes() == b"mine" and (bundle / "files" / "notes.txt").exists()
    assert (bundle / unlisted.path).with_name("linked.zip").is_symlink()
    assert check.has(bundle, kept) and not (bundle / old.path).parent.exists()


def test_a_wheel_is_needed_by_hosts_on_which_it_can_be_installed(tmp_path: Path) -> None:
    files = [
        put(tmp_path, name, name.encode())
        for name in ("a-1.0-py3-none-any.whl", "a-1.0-cp313-cp313-win_amd64.whl", "b-1.0-py3-none-any.whl", "x.zip")
    ]
    pin = Pin("a", "1.0", frozenset(one.sha256 for one in files))
    linux = Packages(LockKind.of("linux", "x64", "3.13"), "3.13.9", (pin,), "lin1")
    assert [one.file for one in pruning.needed(files, [], [linux]) if one.file.startswith("a")] == ["a-1.0-py3-none-any.whl"]
    assert [one.file for one in pruning.needed(files, [(replace(files[3], sha256="f" * 64), files[3])], [])] == ["x.zip"]
