"""Records of vulnerabilities in OSV's format: which versions they affect, and files that are none."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import UsageError
from nbserver.catalog import osv


def record(*ranges: list[dict[str, str]], versions: tuple[str, ...] = (), name: str = "tornado", **fields: Any) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": osv.ECOSYSTEM, "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": events} for events in ranges],
        "versions": list(versions),
    }
    return {"id": "GHSA-1", "summary": "Something is wrong", "affected": [affected], **fields}


def found(tmp_path: Path, *records: Any, version: str = "6.4", name: str = "tornado") -> list[osv.Vulnerability]:
    (tmp_path / "osv.json").write_text(json.dumps(list(records)))
    return osv.load([tmp_path / "osv.json"]).of(name, version)


@pytest.mark.parametrize(
    ("events", "affected", "fine"),
    [
        ([{"introduced": "0"}, {"fixed": "6.4.2"}], ["0.1", "6.4", "6.4.2rc1", "6.4.1.post1"], ["6.4.2", "6.5", "7"]),
        ([{"introduced": "6.0"}, {"last_affected": "6.4"}], ["6.0", "6.4", "6.4.0"], ["5.9", "6.0rc1", "6.4.post1", "6.5"]),
        (
            [{"fixed": "2.3"}, {"introduced": "2.0"}, {"fixed": "1.5"}, {"introduced": "1"}],
            ["1.0", "1.4", "2.0", "2.2"],
            ["0.9", "1.5", "1.9", "2.3"],
        ),
        ([{"introduced": "0"}], ["1", "99"], []),
        ([{"introduced": "10.0"}, {"fixed": "10.0"}], [], ["9", "10.0", "11"]),
        ([{"introduced": "not a version"}, {"fixed": "6.4"}], [], ["6.3", "6.4"]),
        ([], [], ["1.0"]),
    ],
    ids=["fixed", "last", "two", "never-fixed", "empty", "no-version", "no-events"],
)
def test_ranges(tmp_path: Path, events: list[dict[str, str]], affected: list[str], fine: list[str]) -> None:
    assert all(found(tmp_path, record(events), version=version) for version in affected)
    assert not any(found(tmp_path, record(events), version=version) for version in fine)


def test_versions_that_are_listed(tmp_path: Path) -> None:
    one = record(versions=("6.4", "6.4.1"))
    assert found(tmp_path, one, version="6.4.0") and found(tmp_path, one, version="6.4.1") and not found(tmp_path, one, version="6.4.2")


def test_what_is_said(tmp_path: Path) -> None:
    (one,) = found(
        tmp_path, record([{"introduced": "0"}, {"fixed": "5.1"}, {"introduced": "6.0"}, {"fixed": "6.4.2"}], aliases=["CVE-2026-1"])
    )
    assert one == osv.Vulnerability(("CVE-2026-1", "GHSA-1"), "Something is wrong", "6.4.2")


def test_records_of_the_same_vulnerability_are_one(tmp_path: Path) -> None:
    events = [{"introduced": "0"}]
    ghsa, other = record(events, aliases=["CVE-2026-1"]), record(events, id="GHSA-2")
    pysec = record([*events, {"fixed": "6.5"}], id="PYSEC-1", aliases=["CVE-2026-1"], summary=None)
    assert [one.ids for one in found(tmp_path, ghsa, other, pysec)] == [("CVE-2026-1", "GHSA-1", "PYSEC-1"), ("GHSA-2",)]
    assert found(tmp_path, ghsa, pysec)[0].fixed == "6.5"


def test_names_are_normalized_and_other_ecosystems_are_others(tmp_path: Path) -> None:
    assert found(tmp_path, record([{"introduced": "0"}], name="Argon2_CFFI"), name="argon2-cffi")
    other = record([{"introduced": "0"}])
    other["affected"][0]["package"]["ecosystem"] = "npm"
    assert not found(tmp_path, other)


def test_a_record_that_was_withdrawn(tmp_path: Path) -> None:
    assert not found(tmp_path, record([{"introduced": "0"}], withdrawn="2026-01-01T00:00:00Z"))


def test_a_zip_of_an_ecosystem(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(50):
            archive.writestr(f"GHSA-{number}.json", json.dumps(record([{"introduced": "0"}], id=f"GHSA-{number}", name=f"p{number}")))
        archive.writestr("README.md", "not read")
    records = osv.load([tmp_path / "all.zip"])
    assert records.count == 50 and records.of("p7", "1.0")[0].ids == ("GHSA-7",)


def test_a_summary_cannot_control_the_terminal(tmp_path: Path) -> None:
    (one,) = found(tmp_path, record([{"introduced": "0"}], summary="\x1b[31mred\n" + "x" * 5000, aliases=["CVE 1", 7, "\x1b", None]))
    assert "\x1b" not in one.summary and "\n" not in one.summary and len(one.summary) < 300 and one.ids == ("GHSA-1",)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        7,
        None,
        {},
        {"id": 7},
        {"id": ""},
        {"id": "a b"},
        {"id": "x", "affected": {}},
        [[]],
    ],
)
def test_what_is_not_a_record(tmp_path: Path, value: Any) -> None:
    (tmp_path / "osv.json").write_text(json.dumps(value))
    with pytest.raises(UsageError, match="does not contain valid OSV data") as error:
        osv.load([tmp_path / "osv.json"])
    assert error.value.code == "osv-invalid"


@pytest.mark.parametrize(
    "affected",
    [[7], [{}], [{"package": 7}], [{"package": {"ecosystem": osv.ECOSYSTEM, "name": 7}}], None],
)
def test_what_is_not_about_a_package_is_ignored(tmp_path: Path, affected: Any) -> None:
    (tmp_path / "osv.json").write_text(json.dumps({"id": "x", "affected": affected}))
    assert osv.load([tmp_path / "osv.json"]).count == 1


@pytest.mark.parametrize(
    "ranges", [7, [7], [{"type": "GIT", "events": [{"introduced": "0"}]}], [{"type": "ECOSYSTEM", "events": [7, {"introduced": 7}]}]]
)
def test_a_range_that_is_none(tmp_path: Path, ranges: Any) -> None:
    one = record()
    one["affected"][0] |= {"ranges": ranges, "versions": 7}
    assert not found(tmp_path, one)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not valid JSON"),
        (b"<html>", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"PK\3\4cut", "OSV"),
    ],
    ids=["empty", "html", "not-utf8", "deep", "zip-cut"],
)
def test_files_that_are_not_read(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UsageError, match=words):
        osv.load([tmp_path / "x"])


def test_a_zip_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osv, "LARGEST_RECORD", 1000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.json", " " * 100_000)
    with pytest.raises(UsageError, match=r"the entry .*bomb\.json of the zip is larger than"):
        osv.load([tmp_path / "x.zip"])
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("x.txt", "")
    with pytest.raises(UsageError, match=r"no \.json files"):
        osv.load([tmp_path / "x.zip"])


def test_files_that_are_too_large_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osv, "LARGEST_FILE", 10)
    (tmp_path / "x").write_text(json.dumps(record()))
    with pytest.raises(UsageError, match="the file is larger than"):
        osv.load([tmp_path / "x"])
    with pytest.raises(UsageError, match="expected a regular file"):
        osv.load([tmp_path])
    with pytest.raises(UsageError, match="could not read the file"):
        osv.load([tmp_path / "missing"])
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(UsageError, match="expected a regular file"):
            osv.load([tmp_path / "fifo"])
