"""The certificates that the user's browsers trust: the commands, and the real certutil of NSS if it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from nbserver.base.errors import HostError, UsageError
from nbserver.certificate import trust_store
from nbserver.certificate.trust_store import TrustStore
from tests.notebook_server import make_certificate

linux = pytest.mark.skipif(sys.platform != "linux", reason="the store of Linux")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "home"
    found.mkdir()
    monkeypatch.setenv("HOME", str(found))
    return found


def listed(home: Path) -> list[str]:
    done = subprocess.run(["certutil", "-d", f"sql:{home}/.pki/nssdb", "-L"], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith("nbserver")]


def test_the_commands_of_windows() -> None:
    """No Windows was available: these are the commands that would run. Windows asks the user in a window."""
    store = trust_store.of_this_user("win32")
    assert store.program.endswith("certutil.exe") and "System32" in store.program
    assert [command[1:] for command in store.add_commands(Path("c.pem"))] == [["-user", "-f", "-addstore", "Root", "c.pem"]]
    assert store.remove_command("ab" * 20)[1:] == ["-user", "-delstore", "Root", "ab" * 20]


@linux
def test_a_missing_program_is_refused_with_the_name_of_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="Install libnss3-tools"):
        trust_store.of_this_user()


@linux
def test_a_certificate_is_added_replaced_and_removed(home: Path, tmp_path: Path) -> None:
    if not shutil.which("certutil"):
        pytest.skip("needs certutil (libnss3-tools)")
    store = trust_store.of_this_user()
    certificate = make_certificate(tmp_path).certificate
    store.add(certificate)
    store.add(certificate)
    (entry,) = listed(home)
    assert entry.split() == ["nbserver", "P,,"] and (home / ".pki" / "nssdb").stat().st_mode & 0o777 == 0o700
    store.remove("")
    assert listed(home) == []
    store.remove("")  # somebody else removed it
    store.add(certificate)
    database = home / ".pki" / "nssdb" / "cert9.db"
    content = database.read_bytes()
    database.write_bytes(b"damaged")
    with pytest.raises(HostError, match="certutil could not change the certificates that your browsers trust"):
        store.remove("")
    database.write_bytes(content)
    store.remove("")
    assert listed(home) == []
    shutil.rmtree(database.parent)
    store.remove("")


@pytest.mark.parametrize(
    ("removed", "listed", "is_error"),
    [(0, 0, False), (0x800704C7, 0, True), (0x80090011, 0x80090011, False), (1, 0x80090011 - (1 << 32), False), (-1, -1, True)],
)
def test_windows_removes_it_or_has_not_found_it(monkeypatch: pytest.MonkeyPatch, removed: int, listed: int, is_error: bool) -> None:
    """No Windows was available. 0x800704C7: the user refused in the window."""
    codes = {"-delstore": removed, "-store": listed}
    monkeypatch.setattr(trust_store, "_output", lambda command: (codes[command[2]], "said"))
    with pytest.raises(HostError, match="said") if is_error else nullcontext():
        TrustStore("certutil.exe", "win32").remove("ab" * 20)


@linux
def test_a_program_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file or directory"):
        TrustStore(str(tmp_path / "none")).add(tmp_path / "c.pem")


@linux
def test_a_folder_that_cannot_be_used_is_an_error(home: Path, tmp_path: Path) -> None:
    (home / ".pki").write_text("somebody's file")
    with pytest.raises(HostError, match=r"nbserver could not change the certificates that your browsers trust: .*Not a directory"):
        TrustStore("/bin/true").add(tmp_path / "c.pem")
