"""nbserver.known: what is written is read back, and what is not ours is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import ApprovalError
from nbserver.run import known_certificates
from tests.checkout import SOURCE

A = "SHA256:" + "a1" * 32
B = "SHA256:" + "b2" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nbserver.known"


def test_no_file_knows_no_host(path: Path) -> None:
    assert known_certificates.read(path) == {}
    assert known_certificates.fingerprints(path).get("win1") is None


def test_what_is_remembered_is_read_back(path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    known_certificates.remember(path, {"win1": A}, "20261122-101112-abcd")
    entry = known_certificates.read(path)["win1"]
    assert (entry.fingerprint, entry.run) == (A, "20261122-101112-abcd")
    written = datetime.strptime(entry.time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert before <= written <= datetime.now(UTC)


def test_a_byte_order_mark_is_passed_over(path: Path) -> None:
    known_certificates.remember(path, {"win1": A}, "1")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert known_certificates.fingerprints(path).get("win1") == A


def test_other_hosts_stay_and_a_newer_certificate_replaces(path: Path) -> None:
    known_certificates.remember(path, {"win2": A}, "1")
    known_certificates.remember(path, {"win1": A}, "2")
    known_certificates.remember(path, {"win1": B}, "3")
    assert {name: (entry.fingerprint, entry.run) for name, entry in known_certificates.read(path).items()} == {
        "win1": (B, "3"),
        "win2": (A, "1"),
    }


def test_a_name_counts_without_its_case(path: Path) -> None:
    known_certificates.remember(path, {"Win1": A}, "1")
    assert known_certificates.fingerprints(path).get("win1") == A
    known_certificates.remember(path, {"WIN1": B}, "2")
    assert list(known_certificates.read(path)) == ["WIN1"]


def test_the_file_is_the_documented_one(path: Path) -> None:
    known_certificates.remember(path, {"win1": A}, "1")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["v"] == 1
    assert sorted(content["hosts"]["win1"]) == ["fingerprint", "run", "time"]
    assert path.read_bytes().isascii()
    assert [entry.name for entry in path.parent.iterdir()] == ["nbserver.known"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "no version"),
        (b"{}", "no version"),
        (b'{"v": true, "hosts": {}}', "no version"),
        (b'{"v": 2, "hosts": {}}', "has format version 2, but this release of nbserver supports format version 1"),
        (b'{"v": 1}', 'no "hosts"'),
        (b'{"v": 1, "hosts": {"win1": {"fingerprint": "SHA256:00"}}}', "entry for win1 is incomplete"),
        (b'{"v": 1, "hosts": {"win1": {"fingerprint": "SHA256:00", "run": "1", "time": "t"}}}', "fingerprint of win1"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"v": ' + b"1" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_a_file_of_another_kind_is_refused_and_left_alone(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ApprovalError, match=reason) as refused:
        known_certificates.read(path)
    assert str(path) in str(refused.value)
    with pytest.raises(ApprovalError):
        known_certificates.remember(path, {"win1": A}, "1")
    assert path.read_bytes() == content


@pytest.mark.parametrize("fingerprint", ["", A.upper(), A[:-1], A.removeprefix("SHA256:"), A + "\n"])
def test_another_form_of_fingerprint_is_not_written(path: Path, fingerprint: str) -> None:
    with pytest.raises(ValueError, match="64 lower-case"):
        known_certificates.remember(path, {"win1": fingerprint}, "1")
    assert not path.exists()


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known_certificates.remember(path, {"win1": A}, "1")
    old = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ApprovalError, match=r"could not write the file \(No space left on device\)"):
        known_certificates.remember(path, {"win1": B}, "2")
    assert path.read_bytes() == old
    assert [entry.name for entry in path.parent.iterdir()] == ["nbserver.known"]


REMEMBER = """
import sys
from pathlib import Path
from nbserver.run import known_certificates
for number in range(20):
    known_certificates.remember(Path(sys.argv[1]), {f"{sys.argv[2]}-{number}": "SHA256:" + "a1" * 32}, "1")
"""


def test_several_processes_at_once_lose_nothing(path: Path) -> None:
    """Two nbserver apply of one inventory, each with its hosts."""
    names = ("a", "b", "c", "d")
    processes = [subprocess.Popen([sys.executable, "-c", REMEMBER, str(path), name], cwd=SOURCE) for name in names]
    assert [process.wait(600) for process in processes] == [0] * len(names)
    assert set(known_certificates.read(path)) == {f"{name}-{number}" for name in names for number in range(20)}
    assert [entry.name for entry in path.parent.iterdir()] == ["nbserver.known"]


def test_a_process_that_ended_holds_nothing(path: Path) -> None:
    hold = "import sys, os; from pathlib import Path; from nbserver.base import file_lock\nwith file_lock.locked(Path(sys.argv[1]), 5): os._exit(7)"
    assert subprocess.run([sys.executable, "-c", hold, str(path)], cwd=SOURCE, check=False, timeout=600).returncode == 7
    assert [entry.name for entry in path.parent.iterdir()] == [".nbserver.known.lock"]
    known_certificates.remember(path, {"win1": A}, "1")
    assert [entry.name for entry in path.parent.iterdir()] == ["nbserver.known"]


@pytest.mark.skipif(os.name != "posix", reason="on Windows, a file that cannot be opened is being removed")
def test_a_lock_that_another_user_has_left_holds_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = path.with_name(".nbserver.known.lock")
    system = os.open

    def refused(name: Path, flags: int, mode: int = 0o777) -> int:
        if name == lock and flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return system(name, flags, mode)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(ApprovalError, match="could not write the file"):  # a lock that cannot be created is another thing
        known_certificates.remember(path, {"win1": A}, "1")
    lock.touch(0o644)
    known_certificates.remember(path, {"win1": A}, "1")
    assert [entry.name for entry in path.parent.iterdir()] == ["nbserver.known"]


def test_a_process_that_does_not_end_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = "import sys, os; from pathlib import Path; from nbserver.base import file_lock\nwith file_lock.locked(Path(sys.argv[1]), 5): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], cwd=SOURCE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        monkeypatch.setattr(known_certificates, "LOCK_SECONDS", 0.2)
        with pytest.raises(ApprovalError, match="locked by another process"):
            known_certificates.remember(path, {"win1": A}, "1")
        holder.stdin.close()
    known_certificates.remember(path, {"win1": A}, "1")
    assert known_certificates.fingerprints(path).get("win1") == A


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["v", "hosts", "fingerprint", "run"]), inner),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())


@given(st.binary(max_size=200) | _json)
def test_no_content_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.known"
    path.write_bytes(content)
    try:
        assert known_certificates.read(path) == {}
    except ApprovalError as refused:
        assert str(path) in str(refused)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_a_fifo_is_refused_and_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(ApprovalError, match="must be a regular file"):
        known_certificates.read(path)
