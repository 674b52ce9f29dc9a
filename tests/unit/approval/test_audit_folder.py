"""Manifests and rendered folders that somebody changed in order to get them approved: each is refused, with exit code 5 and one clean message."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbserver.approval import audit
from nbserver.base.errors import ApprovalError
from nbserver.cli import program
from tests.rendered_folders import MANIFEST, put, with_manifest
from tests.unit.approval.audited import PLAIN, files, refused

__all__ = ["files"]


def test_a_script_of_another_kind_is_not_passed_over(files: dict[str, bytes], tmp_path: Path) -> None:
    for name in ("win1.cmd", "win1", "win1.PS1", "win1.ps1 ", "win1.sh", "win1.ps1.sh"):
        changed = {key: data for key, data in files.items() if key != "win1.ps1"} | {name: b"evil"}
        digest = hashlib.sha256(b"evil").hexdigest()
        changed = with_manifest(
            changed, lambda content, name=name, digest=digest: content["hosts"]["win1"].update(script=name, sha256=digest)
        )
        assert "script" in refused(changed, tmp_path)


@pytest.mark.parametrize(
    "name", ["../rendered/lin1.sh", "./lin1.sh", "/tmp/lin1.sh", "x/../lin1.sh", "..\\lin1.sh", "lin1.sh/", "C:lin1.sh", "lin1.sh::$DATA"]
)
def test_a_script_is_named_without_a_path(files: dict[str, bytes], tmp_path: Path, name: str) -> None:
    assert "script" in refused(with_manifest(files, lambda content: content["hosts"]["lin1"].update(script=name)), tmp_path)


def test_a_script_outside_of_the_folder_is_not_read(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "x.sh").write_bytes(files["lin1.sh"])
    changed = {name: data for name, data in files.items() if name != "lin1.sh"}
    assert "script" in refused(with_manifest(changed, lambda content: content["hosts"]["lin1"].update(script="../x.sh")), tmp_path)


def test_the_hosts_name_is_the_same_everywhere(files: dict[str, bytes], tmp_path: Path) -> None:
    def swap(content: dict[str, Any]) -> None:
        content["hosts"]["production"] = content["hosts"].pop("lin1")

    assert "production" in refused(with_manifest(files, swap), tmp_path)


def test_two_hosts_have_no_script_in_common(files: dict[str, bytes], tmp_path: Path) -> None:
    refused(with_manifest(files, lambda content: content["hosts"].update(lin2=content["hosts"]["lin1"])), tmp_path)


def test_names_that_differ_only_in_capitals_are_one_name(files: dict[str, bytes], tmp_path: Path) -> None:
    entry = json.loads(files[MANIFEST])["hosts"]["lin1"]
    other = {**entry, "script": "LIN1.sh", "settings": {**entry["settings"], "host": "LIN1"}}
    changed = with_manifest({**files, "LIN1.sh": files["lin1.sh"]}, lambda content: content["hosts"].update(LIN1=other))
    assert 'the name differs from "lin1" only in case' in refused(changed, tmp_path)


@pytest.mark.parametrize("name", ["con", "nul.x", "a.", "-x", "", ".x", "a b", "a/b", "a'b", "a\nb", "\u0430", "lin1\n", "x" * 101])
def test_a_host_is_named_as_in_an_inventory(files: dict[str, bytes], tmp_path: Path, name: str) -> None:
    def rename(content: dict[str, Any]) -> None:
        entry = content["hosts"].pop("lin1")
        entry["settings"]["host"], entry["script"] = name, f"{name}.sh"
        content["hosts"][name] = entry

    refused(with_manifest(files, rename), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(hosts={}),
        lambda content: content["hosts"]["lin1"].update(catalog_sha256="0" * 64),
        lambda content: content["hosts"]["win1"].update(catalog_sha256="0" * 64),
        lambda content: content["hosts"]["lin1"].update(body_sha256="0" * 64),
        lambda content: content["hosts"]["lin1"].update(head_sha256="0" * 64),
        lambda content: content["hosts"]["lin1"].update(lock_sha256="0" * 64),
        lambda content: content["hosts"]["lin1"].update(steps=["preflight"]),
        lambda content: content["hosts"]["lin1"]["steps"].reverse(),
        lambda content: content["hosts"]["win1"]["downloads"].reverse(),
        lambda content: content["hosts"]["win1"].update(downloads=[]),
        lambda content: content["hosts"]["win1"]["downloads"][0].update(note="x"),
        lambda content: content["hosts"]["win1"].update(note="x"),
        lambda content: content.update(note="x"),
        lambda content: content.update(v=True),
        lambda content: content.update(v="2"),
        lambda content: content.update(v=99),
        lambda content: content.update(release="\x1b]0;title\x07"),
        lambda content: content.update(release="9.9.9"),
        lambda content: content["hosts"].pop("win1") and None,
        lambda content: content["hosts"]["win1"].pop("settings") and None,
        lambda content: content["hosts"].update(win1=None),
        lambda content: content["hosts"].update(win1=[]),
        lambda content: content["hosts"]["win1"].update(settings=[]),
        lambda content: content["hosts"]["win1"].update(script=None),
        lambda content: content["hosts"]["win1"].update(script=["win1.ps1"]),
        lambda content: content["hosts"]["win1"].update(sha256=5),
        lambda content: content["hosts"]["win1"].update(downloads=5),
        lambda content: content["hosts"]["win1"].update(steps=None),
        lambda content: content["hosts"]["win1"]["settings"].pop("python") and None,
        lambda content: content["hosts"]["win1"]["settings"].update(python=5),
        lambda content: content["hosts"]["win1"]["settings"].update(packages=None),
        lambda content: content["hosts"]["win1"]["settings"]["packages"].pop("lock_sha256") and None,
        lambda content: content["hosts"]["win1"]["settings"]["certificate"].update(names=["\ud800"]),
        lambda content: content["hosts"]["win1"]["settings"].update({"\ud800": 1}),
        lambda content: content["hosts"].update({"\x1b[31mred\x1b[0m": content["hosts"]["win1"]}),
        lambda content: content["hosts"].update({"\u202eexe.1nil": content["hosts"]["lin1"]}),
        lambda content: content["hosts"]["win1"]["settings"].update({"\x1b[31m\n": 1}),
        lambda content: [],
        lambda content: [content],
        lambda content: "manifest",
        lambda content: 5,
        lambda content: {},
    ],
)
def test_a_manifest_with_anything_else_is_refused(files: dict[str, bytes], tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    changed = with_manifest(files, change)
    assert changed[MANIFEST] != files[MANIFEST]
    assert MANIFEST in refused(changed, tmp_path) or "win1.ps1" in refused(changed, tmp_path)


def edited(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.decode("ascii").encode("utf-16"),
        lambda data: data.decode("ascii").encode("utf-32"),
        lambda data: b"",
        lambda data: b"\0" + data,
        lambda data: data + b"\0",
        lambda data: data + b"{}",
        lambda data: data[:-3],
        lambda data: b"[" * 100_000 + b"]" * 100_000,
        lambda data: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        edited(b'"release"', b'"v": 1, "release"'),
        edited(b'"release"', b'"release": "9.9.9", "release"'),
        edited(b'"hosts": {', b'"hosts": {}, "hosts": {'),
        edited(b'"port": 9999', b'"port": 1, "port": 9999'),
        edited(b'"port": 9999', b'"port": 9999.0'),
        edited(b'"port": 9999', b'"port": 99.99e2'),
        edited(b'"port": 9999', b'"port": NaN'),
        edited(b'"port": 9999', b'"port": Infinity'),
        edited(b'"port": 9999', b'"port": -Infinity'),
        edited(b'"port": 9999', b'"port": -0.0'),
        edited(b'"port": 9999', b'"port": 1e999'),
        edited(b'"port": 9999', b'"port": ' + b"9" * 5000),
        edited(b'"adopt": false', b'"adopt": 0'),
        edited(b'"adopt": false', b'"adopt": null'),
        edited(b'"adopt": false', b'"adopt": "false"'),
        edited(b'"days": 397', b'"days": true'),
        edited(b'"win1.ps1"', b'"win1.ps1\\ud800"'),
        edited(b'"win1.ps1"', b'"win1.ps1\xff"'),
        edited(b'"win1.ps1"', b'"win1.ps1\\u0000"'),
        edited(b'"win1.ps1"', b'"win1.ps1\x01"'),
    ],
)
def test_a_manifest_is_plain_json(files: dict[str, bytes], tmp_path: Path, edit: Callable[[bytes], bytes]) -> None:
    assert MANIFEST in refused({**files, MANIFEST: edit(files[MANIFEST])}, tmp_path)


@pytest.mark.parametrize("name", ["run.sh", "lin1.sh.bak", ".hidden", "WIN1.ps1", "manifest.json ", "evil\x1b[31m\n.sh", "\udcff.sh"])
def test_a_file_that_no_host_has_is_named(files: dict[str, bytes], tmp_path: Path, name: str) -> None:
    message = refused({**files, name: b"echo\n"}, tmp_path)
    assert "does not belong in this folder" in message


def test_a_folder_in_it_is_named(files: dict[str, bytes], tmp_path: Path) -> None:
    (put(files, tmp_path / "rendered") / "more").mkdir()
    with pytest.raises(ApprovalError, match="more does not belong in this folder"):
        audit.audit(tmp_path / "rendered")


@pytest.mark.parametrize("name", [MANIFEST, "win1.ps1", "lin1.sh"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "socket", "folder", "device", "missing"])
def test_only_regular_files_are_read(files: dict[str, bytes], tmp_path: Path, name: str, kind: str) -> None:
    path = put(files, tmp_path / "rendered") / name
    path.rename(tmp_path / "moved")
    if kind == "link":
        path.symlink_to(tmp_path / "moved")
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nothing")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(name)
        os.chdir(here)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    with pytest.raises(ApprovalError, match=re.escape(name)):
        audit.audit(path.parent)


def test_the_folder_is_no_link(files: dict[str, bytes], tmp_path: Path) -> None:
    put(files, tmp_path / "rendered")
    (tmp_path / "link").symlink_to("rendered")
    with pytest.raises(ApprovalError, match="link: expected a folder, found a link"):
        audit.audit(tmp_path / "link")
    with pytest.raises(ApprovalError, match="nothing: "):
        audit.audit(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(ApprovalError, match="file: must be a folder"):
        audit.audit(tmp_path / "file")


@pytest.mark.parametrize("name", [MANIFEST, "win1.ps1", "lin1.sh"])
def test_a_huge_file_is_not_read(files: dict[str, bytes], tmp_path: Path, name: str) -> None:
    path = put(files, tmp_path / "rendered") / name
    os.truncate(path, 1 << 40)
    with pytest.raises(ApprovalError, match=rf"{re.escape(name)}: the file is larger than"):
        audit.audit(path.parent)


def test_the_command_says_so_and_ends_with_5(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = with_manifest(files, lambda content: content["hosts"].update({"\x1b[31m\nred": 5}))
    folder = put(changed, tmp_path / "rendered")
    folder = folder.rename(tmp_path / "\x1b[31mred\u202e")
    monkeypatch.setattr("sys.argv", ["nbserver", "audit", str(folder)])
    with pytest.raises(SystemExit) as ended:
        program.main()
    said = capsys.readouterr()
    assert ended.value.code == 5 and said.out == ""
    (line,) = said.err.splitlines()
    assert line.isprintable() and MANIFEST in line


# ---- a manifest that takes long


MANY = 200_000


def keys() -> bytes:
    return b",".join(b'"h%d": 1' % number for number in range(MANY))


@pytest.mark.parametrize(
    "make",
    [
        lambda: b'"' + b'\\"' * 7_000_000,
        lambda: b'{"v": 2, "release": "0.1.0", "hosts": {' + keys() + b"}}",
        lambda: b'{"v": 2, "release": "0.1.0", "hosts": {"a": {' + keys() + b"}}}",
        lambda: b"{" + keys() + b', "v": 2}',
        lambda: b'{"v": 2, "release": "0.1.0", "hosts": {"' + b"a" * 15_000_000 + b'": {}}}',
        lambda: b'{"v": 2, "release": "0.1.0", "' + b"release" * MANY + b'": {}}',
        lambda: b'{"v": 2, "release": "' + b"0" * 4_000_000 + b'", "hosts": {"a": 1}}',
        lambda: b'{"v": ' + b"9" * 15_000_000 + b"}",
        lambda: b"[" * 15_000_000,
        lambda: b"[" + b"[]," * MANY + b"[]]",
        lambda: b'{"a":' * 3_000_000,
    ],
    ids=[
        "quotes",
        "hosts",
        "keys of a host",
        "keys",
        "a long name",
        "a long key",
        "a long release",
        "a long number",
        "deep",
        "wide",
        "deep objects",
    ],
)
def test_a_large_manifest_is_refused_soon(make: Callable[[], bytes], tmp_path: Path) -> None:
    """Nothing here takes time that grows with the square of the size: that would be minutes."""
    (tmp_path / MANIFEST).write_bytes(make())
    with pytest.raises(ApprovalError, match=MANIFEST) as raised:
        audit.audit(tmp_path)
    assert len(str(raised.value)) < 2000 and PLAIN.fullmatch(str(raised.value))
