"""Backups: written as a whole or not at all, and nothing in one is trusted."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import UsageError
from nbserver.notebooks import archive, received

SHA256 = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # of the text 1


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    (folder / "notebooks" / "Leçon").mkdir(parents=True)
    (folder / "notebooks" / "Leçon" / "日本語.ipynb").write_text("1")
    (folder / "record.jsonl").write_text("1")
    return folder


def test_only_notebooks_are_extracted(tmp_path: Path, content: Path) -> None:
    file = tmp_path / "host.zip"
    assert archive.write(file, content, {"host": "win1"}) == 2
    assert archive.extract(file, tmp_path / "out") == 1
    assert (tmp_path / "out" / "Leçon" / "日本語.ipynb").read_text() == "1" and not (tmp_path / "out" / "record.jsonl").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["content", "host.zip", "out"]


def test_what_the_system_refuses_is_not_the_fault_of_the_backup(tmp_path: Path, content: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "host.zip"
    with pytest.raises(UsageError, match=r"host.zip: could not read the file \(No such file or directory\)"):
        archive.extract(file, tmp_path / "out")
    os.utime(content / "record.jsonl", (0, 0))
    archive.write(file, content, {"host": "win1"})

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(archive, "_copy", full)
        with pytest.raises(UsageError, match=r"could not extract the backup to a temporary folder .No space left on device"):
            archive.extract(file, tmp_path / "out")
    monkeypatch.setattr(received, "IGNORES_CASE", True)
    both = written(tmp_path / "both.zip", "a.ipynb", "A.ipynb")
    with pytest.raises(UsageError, match=r"cannot store a file from the backup: A.ipynb: on Windows, this is the same name as a.ipynb"):
        archive.extract(both, tmp_path / "out")
    assert archive.extract(file, tmp_path / "out") == 1


def test_a_file_that_is_not_a_backup_is_never_replaced(tmp_path: Path) -> None:
    archive.require_backup(tmp_path / "new.zip")
    (tmp_path / "thesis.zip").write_bytes(b"years of work")
    with pytest.raises(UsageError, match="not a backup"):
        archive.require_backup(tmp_path / "thesis.zip")
    for path in (tmp_path / ("x" * 300), Path("/dev/null")):
        with pytest.raises(UsageError, match="could not write the file"):
            archive.require_backup(path)
    with pytest.raises(UsageError, match="not a backup"):
        archive.extract(Path("/dev/null"), tmp_path)


@pytest.mark.parametrize(
    ("entry", "facts", "data"),
    [
        ("notebooks/../x", {"size": 1, "sha256": SHA256}, "1"),
        ("notebooks//x", {"size": 1, "sha256": SHA256}, "1"),
        ("notebooks/x", {"size": 1, "sha256": SHA256}, "2"),
        ("notebooks/x", {"size": 1, "sha256": SHA256}, "11"),
        ("notebooks/x", {"size": 2, "sha256": SHA256}, "1"),
        ("notebooks/x", {"size": 1, "sha256": SHA256}, None),
        ("notebooks/x", {"size": "1", "sha256": SHA256}, "1"),
        ("notebooks/x", None, "1"),
    ],
)
def test_a_backup_that_was_changed_is_refused(tmp_path: Path, entry: str, facts: Any, data: str | None) -> None:
    with zipfile.ZipFile(tmp_path / "host.zip", "w") as found:
        found.writestr("manifest.json", json.dumps({"v": 1, "host": "win1", "files": {entry: facts}}))
        if data is not None:
            found.writestr(entry, data)
    with pytest.raises(UsageError, match="not a backup, or was changed after it was written"):
        archive.extract(tmp_path / "host.zip", tmp_path / "out")


def written(file: Path, *entries: str, compression: int = zipfile.ZIP_STORED) -> Path:
    """A backup with these notebooks."""
    with zipfile.ZipFile(file, "w", compression) as found:
        facts = {"size": 1, "sha256": SHA256}
        files = {f"notebooks/{entry}": facts for entry in entries}
        found.writestr("manifest.json", json.dumps({"v": 1, "host": "win1", "files": files}), zipfile.ZIP_STORED)
        for entry in files:
            found.writestr(entry, "1")
    return file


@pytest.mark.parametrize("name", ["C:/Users/Public/x.bat", "x\\..\\..\\y", "a\\b/x", "GIT~1/hooks/x"])
def test_a_name_that_leads_elsewhere_on_windows_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "host.zip", "a/x", name)
    monkeypatch.setattr(received, "ON_WINDOWS", True)
    with pytest.raises(UsageError, match=r"Windows .*Restore this backup on a Linux or macOS workstation"):
        archive.extract(file, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [file]


def test_a_backup_that_cannot_be_unpacked_is_refused(tmp_path: Path) -> None:
    same = written(tmp_path / "same.zip", "a", "a/b")
    packed = written(tmp_path / "packed.zip", "x", compression=zipfile.ZIP_LZMA)
    damaged = written(tmp_path / "damaged.zip", "x", compression=zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(damaged) as found:
        offset = found.getinfo("notebooks/x").header_offset + 30 + len("notebooks/x")
    with damaged.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff")  # a kind of block that does not exist
    locked = written(tmp_path / "locked.zip", "x")
    locked.write_bytes(re.sub(b"(PK\x01\x02....)\x00", b"\\1\x01", re.sub(b"(PK\x03\x04..)\x00", b"\\1\x01", locked.read_bytes())))
    for number, file_ in enumerate((same, packed, damaged, locked)):
        with pytest.raises(UsageError, match="not a backup, or was changed after it was written"):
            archive.extract(file_, tmp_path / str(number))


def test_a_backup_with_too_much_is_refused_before_it_is_extracted(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "host.zip", "w") as found:
        facts = {"size": 5_000_000_000, "sha256": SHA256}
        found.writestr("manifest.json", json.dumps({"v": 1, "host": "win1", "files": {"notebooks/x": facts}}))
    with pytest.raises(UsageError, match="at most 10,000 files"):
        archive.extract(tmp_path / "host.zip", tmp_path / "out")
