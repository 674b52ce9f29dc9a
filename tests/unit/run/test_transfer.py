"""What a host sends during a pull: only what was requested, from its beginning to its end, and nothing of it is kept elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ScriptError
from nbserver.notebooks import received
from nbserver.notebooks.part import Part
from nbserver.run.transfer import HostFile, Transfer
from nbserver.transports.payload import NOTHING, Payload

DATA = b"0123456789"
SHA256 = hashlib.sha256(DATA).hexdigest()


class Answering:
    """A transport that answers with these lines, and keeps what it was given."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.data, self.deadline = lines, b"", 0.0

    def run(self, script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
        self.data = b"".join(data.blocks())
        yield from self.lines

    def close(self) -> None: ...


def content(n: int, offset: int, data: bytes, path: str = "a/é.txt") -> str:
    event = {"v": 1, "n": n, "time": "2026-11-22T17:10:35.9526580Z", "step": "", "event": "content"}
    return json.dumps({**event, "path": path, "offset": offset, "data": base64.b64encode(data).decode()}, separators=(",", ":"))


def pull(folder: Path, *lines: str, before: str = "-") -> tuple[list[dict[str, Any]], list[HostFile]]:
    ended: list[HostFile] = []
    transfer = Transfer(folder, (Part("a/é.txt", len(DATA), SHA256, 0, len(DATA), before),), sends=False)
    transport = transfer.watch(Answering(*lines), "lin1", ended)
    return [json.loads(line) for line in transport.run("", ["mode pull"])], ended


def test_a_file_is_in_its_place_once_it_is_complete(tmp_path: Path) -> None:
    seen, ended = pull(tmp_path, content(1, 0, DATA[:4]), content(2, 4, DATA[4:]))
    assert (tmp_path / "a/é.txt").read_bytes() == DATA and [one.state for one in ended] == ["stored"]
    assert [event["data"] for event in seen] == ["", ""] and [path.name for path in (tmp_path / "a").iterdir()] == ["é.txt"]


@pytest.mark.parametrize(
    "lines",
    [
        [content(1, 1, DATA)],
        [content(1, 0, DATA[:4]), content(2, 5, DATA[5:])],
        [content(1, 0, DATA + b"x")],
        [content(1, 0, DATA[:4]), content(2, 4, b"")],
        [content(1, 0, DATA[:-1] + b"x")],
    ],
)
def test_anything_else_is_damaged_and_replaces_nothing(tmp_path: Path, lines: list[str]) -> None:
    _, ended = pull(tmp_path, *lines)
    assert [one.state for one in ended] == ["damaged"] and not (tmp_path / "a/é.txt").exists()


def test_what_was_not_requested_is_not_written(tmp_path: Path) -> None:
    seen, ended = pull(tmp_path, content(1, 0, DATA, "../x"), content(2, 0, DATA, "b"))
    assert not ended and not list(tmp_path.iterdir()) and [event["data"] for event in seen] == ["", ""]


def test_a_file_that_was_changed_meanwhile_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/é.txt").write_bytes(b"work")
    _, ended = pull(tmp_path, content(1, 0, DATA), before="0" * 64)
    assert [one.state for one in ended] == ["conflict"] and (tmp_path / "a/é.txt").read_bytes() == b"work"


def test_a_second_pull_into_the_same_folder_is_not_a_fault_of_the_disk(tmp_path: Path) -> None:
    """The second one removes what looks like the rest of an interrupted one."""
    transfer = Transfer(tmp_path, (Part("a/é.txt", len(DATA), SHA256, 0, len(DATA), "-"),), sends=False)
    lines = transfer.watch(Answering(content(1, 0, DATA[:4]), content(2, 4, DATA[4:])), "lin1", []).run("", ["mode pull"])
    next(lines)
    received.remove_unfinished(tmp_path)
    with pytest.raises(ScriptError, match=r"no other nbserver command copies into the same folder, then run the command again") as found:
        next(lines)
    assert found.value.code == "notebook-written-by-two" and "a/é.txt" in str(found.value)
    assert not list((tmp_path / "a").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="access lists there")
def test_a_file_that_is_replaced_keeps_its_rights(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/é.txt").write_bytes(b"work")
    (tmp_path / "a/é.txt").chmod(0o600)
    _, ended = pull(tmp_path, content(1, 0, DATA), before=hashlib.sha256(b"work").hexdigest())
    assert [one.state for one in ended] == ["stored"] and (tmp_path / "a/é.txt").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_read_only_on_windows_is_replaced_and_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows replaces and removes no read-only file."""
    place, replace, unlink = tmp_path / "a/é.txt", Path.replace, Path.unlink

    def require_writable(*paths: Path) -> None:
        if any(path.exists() and not path.stat().st_mode & stat.S_IWRITE for path in paths):
            raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(received, "ON_WINDOWS", True)
    monkeypatch.setattr(Path, "replace", lambda self, target: (require_writable(self, target), replace(self, target)))
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: (require_writable(self), unlink(self, missing_ok)))
    place.parent.mkdir()
    place.write_bytes(b"work")
    place.chmod(0o444)
    _, ended = pull(tmp_path, content(1, 0, DATA), before=hashlib.sha256(b"work").hexdigest())
    assert [one.state for one in ended] == ["stored"] and place.read_bytes() == DATA and not place.stat().st_mode & stat.S_IWRITE


def test_only_the_mode_push_sends_the_data(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    transfer = Transfer(tmp_path, (Part("a", len(DATA), SHA256, 2, 8),), sends=True)
    for mode, sent in (("push", DATA[2:]), ("events", b"")):
        answering = Answering()
        list(transfer.watch(answering, "lin1", []).run("", [f"mode {mode}", "run x"]))
        assert answering.data == sent
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(ScriptError, match="a was changed while it was being copied"):
        list(transfer.watch(Answering(), "lin1", []).run("", ["mode push"]))
