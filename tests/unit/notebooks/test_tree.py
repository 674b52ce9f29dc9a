"""The files below a folder."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from nbserver.base.errors import UsageError
from nbserver.notebooks import tree
from nbserver.notebooks.tree import File


def test_files_are_found_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for path in ("a/b/é.txt", "z", ".x", ".hidden/y"):
        (tmp_path / path).write_text("1")
    one = File(1, hashlib.sha256(b"1").hexdigest())
    assert tree.find(tmp_path) == tree.Found({"a/b/é.txt": one, "z": one})
    assert tree.read(tmp_path, "z", 0, 10) == b"1"


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
def test_what_is_not_a_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to("/etc")
    (tmp_path / "in" / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "in" / "pipe")
    assert tree.find(tmp_path) == tree.Found({}, ("in/link", "in/passwd", "in/pipe"))
    with pytest.raises(UsageError):
        tree.read(tmp_path, "in/passwd", 0, 1)


def test_the_limits_count_before_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(5_000_000_000)  # without using the disk
    monkeypatch.setattr(tree, "_hashed", None)
    with pytest.raises(UsageError, match="at most 10,000 files and 1,000 MB"):
        tree.find(tmp_path)


def test_a_folder_that_is_missing_or_a_link_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", tmp_path / ("x" * 300), tmp_path / "link"):
        with pytest.raises(UsageError, match="does not exist, or is a link"):
            tree.require_folder(folder)
        (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True) if not (tmp_path / "link").is_symlink() else None
