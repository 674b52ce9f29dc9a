"""Wheels that the workstation sends: the real bootstrap and script in user scope on this machine, as root."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.modes import Mode
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.notebooks.part import Part
from nbserver.render.bash import settings_block
from nbserver.run.envelope import Envelope
from nbserver.transports.local.linux import LocalTransport
from nbserver.transports.payload import NOTHING, Payload
from nbserver.transports.transport import StopRequested
from tests.formats import validate
from tests.linux.parts import FILES, SETTINGS, prelude, require_bash

SMALL, LARGE = "one_Package-1.0-py3-none-any.whl", "two-2.0.1-cp311-cp311-manylinux_2_17_x86_64.whl"
WHEELS = {SMALL: os.urandom(1000), LARGE: os.urandom(3_000_000)}
HASHES = {name: hashlib.sha256(data).hexdigest() for name, data in WHEELS.items()}
OTHER = "0" * 64
LOCK = (
    f"LOCK=(\n'one-package==1.0 --hash=sha256:{HASHES[SMALL]} --hash=sha256:{OTHER}'\n"
    f"'two==2.0.1 ; python_version < \"4\" --hash=sha256:{HASHES[LARGE]}'\n)\n"
)


class Host:
    """This machine, whose user has their home folder in `place`. `state` are the downloads of the script."""

    def __init__(self, place: Path) -> None:
        self.downloads = place / ".local/state/nbserver/state/downloads"
        settings = {**SETTINGS, "scope": "user", "host": "local", "downloads": {"mirror": None, "proxy": None, "source": "push"}}
        parts = [settings_block(settings), LOCK, "FIRST_PAGE=''\n", prelude("user"), (FILES / "main.sh").read_text("ascii")]
        self.script, self.number = "\n".join(parts), 0

    def run(self, mode: Mode, *parts: Part, data: Payload = NOTHING, stop: threading.Event | None = None) -> list[dict[str, Any]]:
        self.number += 1
        transport = LocalTransport(LocalLinuxHost(scope="user"), stop or threading.Event())
        said = []
        try:
            for line in transport.run(self.script, Envelope(mode, f"run-{self.number}", parts=parts).lines(), data):
                said.append(json.loads(line))
                validate("event", said[-1])
        except StopRequested:
            assert stop is not None
        return said

    def missing(self) -> dict[str, tuple[str, int]]:
        return states(self.run("missing", *(part(name, length=0) for name in WHEELS)))

    def deliver(self, *parts: Part, data: bytes | None = None) -> list[dict[str, Any]]:
        sent = b"".join(WHEELS[each.path][each.offset : each.offset + each.length] for each in parts) if data is None else data
        return self.run("deliver", *parts, data=streamed(sent))

    def stored(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.downloads.glob("*.whl")}


def streamed(data: bytes) -> Payload:
    return Payload(len(data), Payload.of(data).blocks, is_streamed=True)


def part(name: str, offset: int = 0, length: int | None = None, sha256: str = "") -> Part:
    size = len(WHEELS.get(name, b"12345"))
    return Part(name, size, sha256 or HASHES.get(name, OTHER), offset, size - offset if length is None else length)


def states(events: list[dict[str, Any]]) -> dict[str, tuple[str, int]]:
    return {event["path"]: (event["state"], event["size"]) for event in events if event["event"] == "file"}


def code(events: list[dict[str, Any]]) -> list[str]:
    return [event["code"] for event in events if event["event"] == "failed"]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    require_bash()
    monkeypatch.setenv("HOME", str(tmp_path))
    return Host(tmp_path)


def test_what_is_missing_arrives_in_parts_and_stays_until_undo(host: Host) -> None:
    assert host.missing() == {SMALL: ("absent", 0), LARGE: ("absent", 0)}
    assert not host.downloads.exists()
    half = host.deliver(part(SMALL), part(LARGE, length=1_500_000))
    assert states(half) == {SMALL: ("stored", 1000), LARGE: ("incomplete", 1_500_000)}
    assert host.missing() == {SMALL: ("present", 1000), LARGE: ("partial", 1_500_000)}
    assert states(host.deliver(part(LARGE, 1_500_000))) == {LARGE: ("stored", 3_000_000)}
    assert host.stored() == WHEELS and (host.downloads.stat().st_mode & 0o777) == 0o700
    assert {state for state, _ in host.missing().values()} == {"present"}
    assert host.run("undo")[-1]["outcome"] == "ok" and not host.downloads.exists()


def test_after_an_interruption_only_the_rest_is_sent(host: Host) -> None:
    stop = threading.Event()

    def interrupted() -> Iterator[bytes]:
        yield WHEELS[SMALL]
        yield WHEELS[LARGE][:1_000_000]
        stop.set()
        yield b"this is never sent"

    said = host.run("deliver", part(SMALL), part(LARGE), data=Payload(3_001_000, interrupted, is_streamed=True), stop=stop)
    assert code(said) == ["delivery-cut-off"] and states(said) == {SMALL: ("stored", 1000)}
    assert host.missing() == {SMALL: ("present", 1000), LARGE: ("partial", 1_000_000)}
    host.deliver(part(LARGE, 1_000_000))
    assert host.stored() == WHEELS


@pytest.mark.parametrize(
    "name, sha256",
    [
        (SMALL, HASHES[LARGE]),
        ("three-1.0-py3-none-any.whl", HASHES[SMALL]),
        ("one_package-1.1-py3-none-any.whl", HASHES[SMALL]),
        ("../one_package-1.0-py3-none-any.whl", HASHES[SMALL]),
        (SMALL, "a" * 64),
    ],
    ids=["hash of another wheel", "another package", "another version", "another folder", "another hash"],
)
def test_what_the_lock_does_not_have_is_refused(host: Host, name: str, sha256: str) -> None:
    size = len(WHEELS.get(name, b"12345"))
    said = host.deliver(part(name, sha256=sha256), part(LARGE), data=b"x" * size + WHEELS[LARGE])
    assert states(said) == {name: ("refused", 0), LARGE: ("stored", 3_000_000)}
    assert [path.name for path in host.downloads.parent.rglob("*.whl")] == [LARGE]
    assert host.missing()[SMALL] == ("absent", 0)


def test_what_is_not_as_it_should_be_is_not_stored(host: Host) -> None:
    said = host.deliver(part(SMALL), data=b"x" * 1000)
    assert states(said) == {SMALL: ("damaged", 0)} and host.missing()[SMALL] == ("absent", 0)
    host.deliver(part(LARGE, length=10))
    said = host.deliver(part(LARGE, 11), part(SMALL))
    assert states(said) == {LARGE: ("conflict", 0), SMALL: ("stored", 1000)}
    assert host.missing()[LARGE] == ("partial", 10)
    (host.downloads / SMALL).write_bytes(b"changed")
    assert host.missing()[SMALL] == ("absent", 0)


def test_other_files_and_links_are_removed_and_never_followed(host: Host, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_bytes(b"kept")
    (tmp_path / "folder").mkdir()
    host.deliver(part(SMALL))
    partial = host.downloads / "partial"
    for place, target in ((partial / LARGE, kept), (host.downloads / LARGE, kept), (host.downloads / "folder", tmp_path / "folder")):
        place.symlink_to(target)
    (host.downloads / "three-1.0-py3-none-any.whl").write_bytes(b"of an earlier lock")
    (partial / ".hidden").write_bytes(b"")
    assert host.missing()[LARGE] == ("absent", 0)
    host.deliver(part(LARGE))
    assert kept.read_bytes() == b"kept" and (tmp_path / "folder").is_dir() and host.stored() == WHEELS
    assert sorted(path.name for path in host.downloads.iterdir()) == sorted([*WHEELS, "partial"]) and not list(partial.iterdir())
    partial.rmdir()
    partial.symlink_to(tmp_path / "folder")
    assert code(host.deliver(part(SMALL))) and not list((tmp_path / "folder").iterdir())


def test_a_full_disk_is_reported_and_a_delivery_continues(host: Host) -> None:
    host.deliver(part(SMALL))
    partial = host.downloads / "partial"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(partial)], capture_output=True, check=False).returncode:
        pytest.skip("a full disk needs the right to mount a tmpfs")
    try:
        said = host.deliver(part(LARGE))
        assert code(said) == ["delivery-not-written"] and "No space left on device" in json.dumps(said)
    finally:
        subprocess.run(["umount", str(partial)], check=True)
    host.deliver(part(LARGE))
    assert host.stored() == WHEELS
