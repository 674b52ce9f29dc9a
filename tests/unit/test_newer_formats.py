"""What a newer release wrote is refused as such: it is neither damaged, nor has somebody changed it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbserver.approval import manifest
from nbserver.base import file_format
from nbserver.base.errors import ApprovalError, NbserverError, UsageError
from nbserver.bundle import contents
from nbserver.notebooks import archive, known_files
from nbserver.run import chain_check, evidence_log, intent, past_files

RUN = "20261122T171110Z-0a1b2c"


def backup(folder: Path, text: str) -> object:
    with zipfile.ZipFile(folder / "win1.zip", "w") as file:
        file.writestr(archive.MANIFEST, text)
    return archive.extract_manifest(folder / "win1.zip")


def known(folder: Path, text: str) -> object:
    (folder / known_files.FOLDER).mkdir()
    (folder / known_files.FOLDER / "win1.json").write_text(text)
    return known_files.read(folder, "win1")


def reader(name: str, read: Callable[[Path], object]) -> Callable[[Path, str], object]:
    def written(folder: Path, text: str) -> object:
        (folder / name).write_text(text)
        return read(folder)

    return written


READERS: dict[str, tuple[Callable[[Path, str], object], int, type[NbserverError]]] = {
    "a backup": (backup, 1, UsageError),
    "the files of a pull": (known, 1, UsageError),
    "a manifest": (reader("manifest.json", lambda folder: manifest.read(folder / "manifest.json")), 3, ApprovalError),
    "a bundle": (reader("bundle.json", contents.read), 1, ApprovalError),
    "the head of a run": (reader("run.json", past_files.head), 1, ApprovalError),
    "a summary": (reader("summary.json", past_files.summary), 2, ApprovalError),
    "an intent": (reader("intent.json", intent.read), 1, ApprovalError),
    "a chain": (reader("chain.jsonl", lambda folder: chain_check.read_chain(folder / "chain.jsonl")), 1, ApprovalError),
    "a log of runs": (reader("log.jsonl", lambda folder: evidence_log.read(folder / "log.jsonl", RUN)), 1, ApprovalError),
}


@pytest.mark.parametrize("name", READERS)
def test_a_newer_format_is_named(name: str, tmp_path: Path) -> None:
    read, supported, error = READERS[name]
    with pytest.raises(error) as refused:
        read(tmp_path, json.dumps({"v": supported + 1, "new": {"a": 1}}) + "\n")
    assert refused.value.code == "file-format-newer" and refused.value.where
    assert f"it has format version {supported + 1}, but this release supports format version {supported}. Upgrade nbserver" in str(
        refused.value
    )


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("version", [0, -1, True, "2", 2.5, None, [9]])
def test_any_other_version_is_not_taken_for_a_newer_one(name: str, version: Any, tmp_path: Path) -> None:
    read, _, error = READERS[name]
    with pytest.raises(error) as refused:
        read(tmp_path, json.dumps({"v": version, "new": 1}) + "\n")
    assert refused.value.code != "file-format-newer"


@pytest.mark.parametrize("line", [b"", b"{", b"[2]", b"\xff", b"[" * 100_000])
def test_a_line_that_is_not_an_object_has_no_version(line: bytes) -> None:
    assert file_format.newer_line(line, 1) is None


def test_the_log_of_this_user_does_not_stop_a_run(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"v": 2, "run": RUN}) + "\n")
    assert evidence_log.read(tmp_path / "log.jsonl", RUN, strict=False) == []
