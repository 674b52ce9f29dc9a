"""The files below a folder."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nbserver.base.errors import UsageError
from nbserver.notebooks import received, tree
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


@pytest.mark.parametrize(("tag", "is_copied"), [(0x9000001A, True), (0x80000013, True), (0xA0000003, False), (0xA000000C, False)])
def test_a_file_of_onedrive_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: int, is_copied: bool) -> None:
    """On Windows, all that is in a folder of OneDrive is a reparse point, as junctions are; only these lead to another place."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "a.ipynb").write_text("1")
    entries, lstat = tree._entries, Path.lstat

    class Entry:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self._entry = entry.name, entry

        def stat(self, *, follow_symlinks: bool) -> SimpleNamespace:
            return on_windows(self._entry.stat(follow_symlinks=follow_symlinks))

    def on_windows(found: os.stat_result) -> SimpleNamespace:
        about = {name: getattr(found, name) for name in ("st_mode", "st_size")}
        return SimpleNamespace(**about, st_file_attributes=stat.FILE_ATTRIBUTE_REPARSE_POINT, st_reparse_tag=tag)

    monkeypatch.setattr(tree, "_entries", lambda folder, below: list(map(Entry, entries(folder, below))))
    found = tree.find(tmp_path)
    assert (list(found.files), found.left_out) == ((["lab/a.ipynb"], ()) if is_copied else ([], ("lab",)))
    monkeypatch.setattr(Path, "lstat", lambda path: on_windows(lstat(path)))
    if is_copied:
        assert received.place_of(tmp_path, "lab/b.ipynb") == tmp_path / "lab" / "b.ipynb"
    else:
        with pytest.raises(received.Refused):
            received.place_of(tmp_path, "lab/b.ipynb")
