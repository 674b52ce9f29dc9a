"""set-password, rotate-certificate, and rollback: what is refused before a host is contacted, and what is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nbserver.base.errors import NbserverError
from nbserver.cli.program import cli
from nbserver.commands import servers
from nbserver.inventory import reader
from nbserver.run.host_job import _needs, _password
from nbserver.run.options import Options
from nbserver.settings.secret_store import SecretStore
from tests.unit.commands.test_rotation import NAMES, WINDOWS, sent

__all__ = ["sent"]
LINUX = '[hosts.lin1]\nsystem = "linux"\naddress = "192.0.2.8"\nuser = "root"\nnotebook.password = { env = "N" }\n'


def call(command: Callable[..., int], folder: Path, text: str, *names: str) -> int:
    (folder / "nbserver.toml").write_text(text, "utf-8")
    loaded = reader.load(folder / "nbserver.toml")
    return command(loaded, loaded.select(names), Options(), None, None, quiet=False)


def test_the_password_of_the_inventory_is_sent_and_no_certificate(
    tmp_path: Path, sent: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("N", "correct horse battery")
    pfx = f'{WINDOWS}certificate.pfx = "a.pfx"\ncertificate.password = {{ env = "P" }}\n'
    assert call(servers.set_password, tmp_path, pfx + LINUX, "win1", "lin1") == 0 and sent == [("set-password", Options())]
    host = reader.load(tmp_path / "nbserver.toml").hosts["win1"]
    assert _password(host, "set-password", SecretStore(None), None) == "correct horse battery"
    assert [need.what for need in _needs(host, "set-password", Options())][-1] == "notebook.password"
    assert "certificate.password" not in [need.what for need in _needs(host, "set-password", Options())]


def test_a_host_without_a_reference_is_refused(tmp_path: Path, sent: list[Any]) -> None:
    with pytest.raises(NbserverError, match="local: the inventory does not say where to find the new notebook password"):
        call(servers.set_password, tmp_path, f"{LINUX}[hosts.local]\n", "lin1", "local")
    assert not sent


def test_only_certificates_that_the_host_creates_are_rotated(tmp_path: Path, sent: list[Any]) -> None:
    requesting = f"{WINDOWS}{NAMES}certificate.request = true\n"
    with pytest.raises(NbserverError, match=r"win1: the host did not create this certificate itself.*docs/certificates.md"):
        call(servers.rotate_certificate, tmp_path, requesting + LINUX, "lin1", "win1")
    assert not sent
    assert call(servers.rotate_certificate, tmp_path, WINDOWS + LINUX, "lin1", "win1") == 0
    assert sent == [("rotate-certificate", Options())]


def test_hosts_of_both_systems_go_back(tmp_path: Path, sent: list[Any]) -> None:
    assert call(servers.rollback, tmp_path, WINDOWS + LINUX, "lin1", "win1") == 0 and sent == [("rollback", Options())]


def test_an_argument_that_may_be_the_password_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "nbserver.toml").write_text(LINUX)
    found = CliRunner().invoke(cli, ["set-password", "lin1", "hunter2", "-i", str(tmp_path / "nbserver.toml")])
    assert isinstance(found.exception, NbserverError) and "hunter2" not in str(found.exception)
    assert "not shown because it may be a password" in str(found.exception)
