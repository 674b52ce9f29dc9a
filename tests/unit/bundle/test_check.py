"""A bundle that somebody has changed: one message for each difference."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nbserver import __version__
from nbserver.base.errors import ApprovalError
from nbserver.bundle import check, contents
from nbserver.bundle.contents import File
from nbserver.catalog import mirror
from tests.formats import is_valid, validate


def put(bundle: Path, name: str, data: bytes) -> File:
    kind, program = ("wheel", name.partition("-")[0]) if name.endswith(".whl") else ("program", "python")
    file = File(kind, program, "1.0", name, hashlib.sha256(data).hexdigest(), len(data), f"https://example.com/{name}")  # type: ignore[arg-type]
    path = bundle / file.path
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return file


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    files = [put(tmp_path, "tool.zip", b"tool" * 100), put(tmp_path, "small-1.0-py3-none-any.whl", b"wheel")]
    (tmp_path / contents.FILE_NAME).write_text(contents.to_text(files, __version__))
    (tmp_path / mirror.PAGE).write_text(contents.page(files))
    return tmp_path


def tool(bundle: Path) -> Path:
    return next(bundle.rglob("tool.zip"))


def _missing(bundle: Path) -> None:
    tool(bundle).unlink()


def _truncated(bundle: Path) -> None:
    os.truncate(tool(bundle), 7)


def _swapped(bundle: Path) -> None:
    tool(bundle).write_bytes(b"loot" * 100)


def _extra(bundle: Path) -> None:
    (bundle / "extra.exe").write_bytes(b"")


def _extra_folder(bundle: Path) -> None:
    (bundle / "files" / "more").mkdir()


def _link(bundle: Path) -> None:
    path = tool(bundle)
    path.rename(bundle.parent / "elsewhere.zip")
    path.symlink_to(bundle.parent / "elsewhere.zip")


def _alike(bundle: Path) -> None:
    tool(bundle).with_name("Tool.zip").write_bytes(b"")


def _fifo(bundle: Path) -> None:
    path = tool(bundle)
    path.unlink()
    os.mkfifo(path)


def _page(bundle: Path) -> None:
    (bundle / mirror.PAGE).write_text("<a href=elsewhere>")


@pytest.mark.skipif(sys.platform == "win32", reason="has no FIFO, and names are alike there")
@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (lambda bundle: None, []),
        (_missing, ["bundle-file-missing"]),
        (_truncated, ["bundle-file-size"]),
        (_swapped, ["bundle-file-hash"]),
        (_extra, ["bundle-file-extra"]),
        (_extra_folder, ["bundle-file-extra"]),
        (_link, ["bundle-link", "bundle-file-missing"]),
        (_alike, ["bundle-file-extra", "bundle-names-alike"]),
        (_fifo, ["bundle-not-a-file", "bundle-file-missing"]),
        (_page, ["bundle-page-differs"]),
    ],
)
def test_each_difference_is_a_message(change: Callable[[Path], None], codes: list[str], bundle: Path) -> None:
    change(bundle)
    found = check.findings(bundle)
    assert sorted(one.code for one in found) == sorted(codes)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", "../tool.zip"),
        ("file", "a/b"),
        ("file", ".hidden"),
        ("sha256", "0" * 63),
        ("sha256", "A" * 64),
        ("size", True),
        ("size", 0),
        ("size", -1),
        ("kind", "script"),
        ("url", "file:///etc/passwd"),
        ("name", "a\nb"),
        ("version", ""),
        ("more", "x"),
    ],
)
def test_a_list_that_is_not_valid_is_refused(key: str, value: object, bundle: Path) -> None:
    found = json.loads((bundle / contents.FILE_NAME).read_text())
    validate("bundle", found)
    found["files"][0][key] = value
    assert not is_valid("bundle", found)
    (bundle / contents.FILE_NAME).write_text(json.dumps(found))
    with pytest.raises(ApprovalError, match=r"bundle\.json: the bundle's list of files is not valid: file 1"):
        contents.read(bundle)


def test_a_file_that_is_listed_twice_is_refused(bundle: Path) -> None:
    found = json.loads((bundle / contents.FILE_NAME).read_text())
    found["files"] *= 2
    (bundle / contents.FILE_NAME).write_text(json.dumps(found))
    with pytest.raises(ApprovalError, match=r"the list contains .* twice"):
        contents.read(bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", "<!DOCTYPE html>", '{"v": 0, "release": "0.7.0", "files": []}', '{"v": 1}'])
def test_what_is_not_a_list_is_one_message(text: str, bundle: Path) -> None:
    (bundle / contents.FILE_NAME).write_text(text)
    with pytest.raises(ApprovalError) as raised:
        check.findings(bundle)
    assert raised.value.code == "bundle-list-invalid"


def test_two_names_that_differ_only_in_case_are_refused(bundle: Path) -> None:
    found = json.loads((bundle / contents.FILE_NAME).read_text())
    found["files"].append({**found["files"][0], "file": found["files"][0]["file"].upper()})
    (bundle / contents.FILE_NAME).write_text(json.dumps(found))
    with pytest.raises(ApprovalError, match=r"the list contains .* twice"):
        contents.read(bundle)


def test_no_list_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ApprovalError, match="Run nbserver download first"):
        check.findings(tmp_path)
