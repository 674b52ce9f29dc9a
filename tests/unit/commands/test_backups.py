"""restore --with-key: what is refused before a host is contacted, and what is sent."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nbserver.base.errors import UsageError
from nbserver.cli.program import cli
from nbserver.commands import notebooks, undo
from nbserver.inventory import reader
from nbserver.notebooks import archive
from nbserver.run import operation
from nbserver.run.result import Result
from nbserver.run.transfer import HostFile
from tests.authority import ec_key, key_pem, pem, self_signed
from tests.scanned import scanned
from tests.unit.commands.test_rotation import WINDOWS
from tests.unit.commands.test_servers import LINUX

KEY = ec_key()
CERTIFICATE = pem(self_signed(KEY, ["192.0.2.8"], subject="lin1", ca=False))


def backup(folder: Path, files: dict[str, str]) -> Path:
    content = folder / "content"
    (content / "configuration").mkdir(parents=True)
    for name, text in files.items():
        (content / "configuration" / name).write_text(text)
    archive.write(folder / "host.zip", content, {"host": "lin1"})
    return folder / "host.zip"


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The modes and keys of all runs; no host is contacted, and all notebooks are copied."""
    found: list[Any] = []

    def operate(mode: str, inventory: Any, hosts: Any, options: Any, ask: Any, view: Any, **more: Any) -> dict[str, Result]:
        found.append((mode, options.keys))
        return {host.name: Result(host.name, outcome="ok") for host in hosts}

    monkeypatch.setattr(operation, "operate", operate)
    monkeypatch.setattr(notebooks, "push", lambda folder, task: found.append("push") or 4)
    (tmp_path / "nbserver.toml").write_text(WINDOWS + LINUX)
    return found


def test_a_backup_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [HostFile("l.ipynb", 0, "", "link"), HostFile("b.bin", 5_000_000_000, "", "large"), HostFile("a.ipynb", 0, "", "unreadable")]

    def operate(mode: str, inventory: Any, hosts: Any, options: Any, ask: Any, view: Any, **more: Any) -> dict[str, Result]:
        view.summary(mode, {}, tmp_path)
        return {host.name: Result(host.name, outcome="ok", files=files if mode == "list" else []) for host in hosts}

    monkeypatch.setattr(operation, "operate", operate)
    (tmp_path / "nbserver.toml").write_text(LINUX)
    arguments = ["backup", "lin1", "-o", str(tmp_path / "lin1.zip"), "-i", str(tmp_path / "nbserver.toml"), "--json"]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert done.return_value == 4 and (tmp_path / "lin1.zip").exists(), done.output
    assert "nbserver cannot store (2 in total), such as a.ipynb" in done.output
    del files[1:]
    assert CliRunner().invoke(cli, arguments, standalone_mode=False).return_value == 0


@pytest.mark.parametrize("held", [1, 10**9])
def test_notebooks_that_a_virus_scanner_looks_at_are_in_the_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    def operate(mode: str, inventory: Any, hosts: Any, options: Any, ask: Any, view: Any, **more: Any) -> dict[str, Result]:
        view.summary(mode, {}, tmp_path)
        return {host.name: Result(host.name, outcome="ok") for host in hosts}

    monkeypatch.setattr(operation, "operate", operate)
    (tmp_path / "nbserver.toml").write_text(LINUX)
    (tmp_path / "lin1").mkdir()
    host = reader.load(tmp_path / "nbserver.toml").hosts["lin1"]
    scanned(monkeypatch, held)
    if held > 1:
        with pytest.raises(UsageError, match="could not write to the folder"):
            undo._archive(tmp_path, tmp_path / "lin1", host, None)  # type: ignore[arg-type]
    arguments = ["backup", "lin1", "-o", str(tmp_path / "lin1.zip"), "-i", str(tmp_path / "nbserver.toml"), "--json"]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    if held > 1:
        assert isinstance(done.exception, UsageError) and done.exception.code == "backup-folder-not-writable"
    else:
        assert done.return_value == 0 and (tmp_path / "lin1.zip").exists()


@pytest.mark.parametrize(("outcome", "code"), [("ok", 4), ("failed", 3)])
def test_a_file_that_changes_all_the_time_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str, code: int) -> None:
    """Such as the log of a running notebook. If the host fails, there is no backup."""
    sha256 = hashlib.sha256(b"1").hexdigest()

    def operate(mode: str, inventory: Any, hosts: Any, options: Any, ask: Any, view: Any, **more: Any) -> dict[str, Result]:
        view.summary(mode, {}, tmp_path)
        state = {"list": "present", "pull": "damaged"}.get(mode)
        files = [HostFile("growing.log", 1, sha256, state)] if state else []
        return {host.name: Result(host.name, outcome=outcome if mode == "pull" else "ok", files=files) for host in hosts}

    monkeypatch.setattr(operation, "operate", operate)
    (tmp_path / "nbserver.toml").write_text(LINUX)
    arguments = ["backup", "lin1", "-o", str(tmp_path / "lin1.zip"), "-i", str(tmp_path / "nbserver.toml"), "--json"]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert done.return_value == code and (tmp_path / "lin1.zip").exists() == (code == 4), done.output
    assert ("such as growing.log" in done.output) == (code == 4)


def restore(folder: Path, host: str = "lin1", *more: str) -> Any:
    arguments = ["restore", str(folder / "host.zip"), host, "--with-key", "-i", str(folder / "nbserver.toml"), *more]
    return CliRunner().invoke(cli, arguments, standalone_mode=False)


def test_the_key_follows_the_notebooks_even_if_one_of_them_is_kept(tmp_path: Path, sent: list[Any]) -> None:
    backup(tmp_path, {"certificate.pem": CERTIFICATE, "key.pem": key_pem(KEY)})
    assert restore(tmp_path).return_value == 4 and sent[0] == "push"
    ((mode, keys),) = sent[1:]
    assert mode == "restore-key" and (keys["lin1"].chain, keys["lin1"].key) == (CERTIFICATE, key_pem(KEY))
    assert "PRIVATE" not in repr(keys) and restore(tmp_path, "lin1", "--dry-run").return_value == 4
    assert sent[2:] == ["push"], "a dry run changes nothing"


NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"certificate.pem": CERTIFICATE}, "restore-without-key"),
        ({"key.pem": key_pem(KEY)}, "restore-without-key"),
        ({"certificate.pem": CERTIFICATE, "key.pem": key_pem(ec_key())}, "certificate-for-other-key"),
        ({"certificate.pem": CERTIFICATE, "key.pem": "not a key"}, "restored-key-invalid"),
        ({"certificate.pem": CERTIFICATE, "key.pem": f"\u00e9\n{key_pem(KEY)}"}, "restored-key-invalid"),
        ({"certificate.pem": CERTIFICATE, "key.pem": "x" * 2_000_000}, "not-a-backup"),
        ({"certificate.pem": NO_CERTIFICATE, "key.pem": key_pem(KEY)}, "certificate-not-pem"),
        ({"certificate.pem": pem(self_signed(KEY, ["192.0.2.9"], ca=False)), "key.pem": key_pem(KEY)}, "certificate-names-missing"),
    ],
)
def test_a_key_that_the_server_could_not_use_is_refused(files: dict[str, str], code: str, tmp_path: Path, sent: list[Any]) -> None:
    backup(tmp_path, files)
    found = restore(tmp_path)
    assert isinstance(found.exception, UsageError) and found.exception.code == code and sent == []


def test_a_host_with_a_certificate_from_elsewhere_is_refused(tmp_path: Path, sent: list[Any]) -> None:
    backup(tmp_path, {"certificate.pem": CERTIFICATE, "key.pem": key_pem(KEY)})
    (tmp_path / "nbserver.toml").write_text(f'{WINDOWS}certificate.pfx = "a.pfx"\n')
    found = restore(tmp_path, "win1")
    assert isinstance(found.exception, UsageError) and found.exception.code == "certificate-not-own" and sent == []
