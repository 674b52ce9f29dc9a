"""Undo with notebooks: the real command, archive, bootstrap, and script. What is not in the archive is never removed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import UsageError
from nbserver.commands import undo
from nbserver.notebooks import archive
from nbserver.run import operation
from tests.steps.linux.test_notebook_files import FRENCH, JAPANESE, Both, both, tree, write
from tests.tier import FULL

__all__ = ["both"]
WORK = {FRENCH: b"{}", JAPANESE: b"x" * 300_001, "empty.txt": b"", "a/b/c/plot.png": b"png"}


def undone(both: Both) -> tuple[int, dict[str, Any]]:
    (both.place / "archives").mkdir(exist_ok=True)
    return both._run(undo.undo_with_notebooks, "pull", both.place / "archives", False)


def archives(both: Both) -> list[Path]:
    return sorted((both.place / "archives").iterdir())


def test_the_notebooks_are_archived_and_then_removed(both: Both) -> None:
    write(both.theirs, WORK)
    write(both.theirs, {"a/.ipynb_checkpoints/plot-checkpoint.ipynb": b"copy", ".nbserver-push-0": b"unfinished"})
    (both.theirs / "no files").mkdir()
    expected = {path: sha256 for path, sha256 in tree(both.theirs).items() if "/." not in f"/{path}"}
    code, said = undone(both)
    (file,) = archives(both)
    assert (code, said["event"], said["files"], said["file"]) == (0, "backup", len(WORK), str(file)), said
    assert list(both.theirs.iterdir()) == []
    assert archive.extract(file, both.place / "out") == len(WORK) and tree(both.place / "out") == expected


def test_a_file_that_changes_after_the_archive_is_kept(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    write(both.theirs, WORK)
    operate = operation.operate

    def changed(mode: Any, *given: Any, **more: Any) -> Any:
        if mode == "undo":
            (both.theirs / "a/b/c/plot.png").write_bytes(b"new")
        return operate(mode, *given, **more)

    monkeypatch.setattr(operation, "operate", changed)
    code, said = undone(both)
    assert code == 3 and "do not match the archive" in said["error"]
    assert set(tree(both.theirs)) == set(WORK) and len(archives(both)) == 1


@pytest.mark.parametrize("name", ["link", *([".hidden", "a/pipe", "\udcff"] if FULL else [])])
def test_what_an_archive_cannot_have_is_named(both: Both, name: str) -> None:
    write(both.theirs, {"a/x": b"1"})
    outside = both.place / "outside"
    write(outside, {"precious": b"work"})
    if name == "a/pipe":
        os.mkfifo(both.theirs / name)
    elif name == "link":
        (both.theirs / name).symlink_to(outside)
    else:
        (both.theirs / name).write_bytes(b"secret")
    code, said = undone(both)
    shown = name.encode(errors="replace").decode()
    assert code == 3 and f'contains "{shown}"' in said["error"] and (both.theirs / "a/x").exists()
    assert (outside / "precious").read_bytes() == b"work"


def test_nothing_is_undone_without_an_archive(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    write(both.theirs, WORK)
    modes: list[str] = []
    operate = operation.operate
    monkeypatch.setattr(operation, "operate", lambda mode, *given, **more: (modes.append(mode), operate(mode, *given, **more))[1])
    write_archive = archive.write

    def damaged(file: Path, *given: Any) -> int:
        count = write_archive(file, *given)
        data = bytearray(file.read_bytes())
        data[data.find(b"PK\x03\x04", 100) + 60] ^= 1
        file.write_bytes(data)
        return count

    monkeypatch.setattr(archive, "write", damaged)
    with pytest.raises(UsageError, match="not a backup"):
        undone(both)
    assert "undo" not in modes and set(tree(both.theirs)) == set(WORK)
