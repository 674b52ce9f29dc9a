"""The manifest: what an approval rests on, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer import manifest
from installer.errors import ApprovalError
from installer.script import Script
from tests import golden


@pytest.fixture(scope="module")
def scripts() -> list[Script]:
    return golden.scripts()


@pytest.fixture
def approved(scripts: list[Script], tmp_path: Path) -> Path:
    """A manifest of these scripts on disk."""
    path = tmp_path / manifest.FILE_NAME
    path.write_text(manifest.to_text(manifest.build(scripts, {script.host: "0" * 64 for script in scripts})), "ascii")
    return path


def test_it_comes_back_from_disk(scripts: list[Script], approved: Path) -> None:
    assert manifest.read(approved) == manifest.build(scripts, {script.host: "0" * 64 for script in scripts})


def test_it_names_every_file_that_is_downloaded(scripts: list[Script]) -> None:
    built = manifest.build(scripts, {script.host: "0" * 64 for script in scripts})
    for script in scripts:
        entry = built["hosts"][script.host]
        windows = ["python", "vc_redist", "openssl"] if script.settings.get("vc_redist") else ["python", "openssl"]
        needed = windows if script.extension == "ps1" else []
        assert [download["name"] for download in entry["downloads"]] == needed
        for download in entry["downloads"]:
            assert download["url"] in json.dumps(script.settings) and len(download["sha256"]) == 64
        assert set(entry["steps"]) == set(script.steps)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_its_text_is_ascii_and_does_not_depend_on_order(value: dict[str, Any]) -> None:
    text = manifest.to_text(value)
    assert text.isascii() and text.endswith("\n") and "\r" not in text
    assert json.loads(text) == value
    assert manifest.to_text(dict(reversed(value.items()))) == text


def test_an_approved_script_may_run(scripts: list[Script], approved: Path) -> None:
    for script in scripts:
        manifest.require_approved(manifest.read(approved), approved, script)


def test_a_script_that_was_changed_may_not(scripts: list[Script], approved: Path) -> None:
    changed = dataclasses.replace(scripts[0], sha256="f" * 64)
    with pytest.raises(ApprovalError, match=rf"manifest\.json: the script of least is {'f' * 64}, approved is {scripts[0].sha256}"):
        manifest.require_approved(manifest.read(approved), approved, changed)


def test_a_host_that_was_not_approved_may_not(scripts: list[Script], approved: Path) -> None:
    with pytest.raises(ApprovalError, match="another does not stand in the approved manifest"):
        manifest.require_approved(manifest.read(approved), approved, dataclasses.replace(scripts[0], host="another"))


def test_another_hosts_approval_does_not_count(scripts: list[Script], approved: Path) -> None:
    with pytest.raises(ApprovalError, match="the script of most is"):
        manifest.require_approved(manifest.read(approved), approved, dataclasses.replace(scripts[0], host="most"))


@pytest.mark.parametrize("entry", [None, {}, {"sha256": None}, [], "text", {"sha256": ""}, True])
def test_an_entry_without_the_hash_approves_nothing(scripts: list[Script], approved: Path, entry: Any) -> None:
    content = manifest.read(approved)
    content["hosts"]["least"] = entry
    with pytest.raises(ApprovalError) as raised:
        manifest.require_approved(content, approved, scripts[0])
    assert raised.value.exit_code == 5


def test_the_case_of_a_hash_and_of_a_name_counts(scripts: list[Script], approved: Path) -> None:
    content = manifest.read(approved)
    content["hosts"] = {"LEAST": content["hosts"]["least"], "least": {"sha256": scripts[0].sha256.upper()}}
    with pytest.raises(ApprovalError, match="the script of least is"):
        manifest.require_approved(content, approved, scripts[0])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is no JSON"),
        (b"{", "is no JSON"),
        (b"\xff\xfe{}", "is no JSON"),
        (b"[]", "is no manifest of version 1"),
        (b"{}", "is no manifest of version 1"),
        (b'{"v": 2, "hosts": {}}', "is no manifest of version 1"),
        (b'{"v": "1", "hosts": {}}', "is no manifest of version 1"),
        (b'{"v": 1, "hosts": []}', "is no manifest of version 1"),
        (b'{"v": 1}', "is no manifest of version 1"),
        (b"[" * 200_000, "is no JSON"),
    ],
    ids=["empty", "torn", "utf-16", "list", "object", "version 2", "version as text", "hosts as list", "no hosts", "deep"],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "approved.json"
    path.write_bytes(data)
    with pytest.raises(ApprovalError, match=rf"approved\.json: {words}"):
        manifest.read(path)


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ApprovalError, match=r"approved\.json: cannot be read"):
        manifest.read(tmp_path / "approved.json")
