"""nbserver rotate: what is asked and refused before a host is contacted, and what is sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from nbserver.base.errors import UsageError
from nbserver.commands import rotation
from nbserver.inventory import reader
from nbserver.inventory.hosts import Inventory
from nbserver.run import operation
from nbserver.run.host_job import _password
from nbserver.run.options import Options
from nbserver.run.result import Result
from nbserver.settings.secret_store import SecretStore
from tests.authority import pem
from tests.unit.commands.test_certificate_request import csr
from tests.workstation_certificate import CHAIN, KEY

WINDOWS = '[hosts.win1]\nsystem = "windows"\naddress = "192.0.2.7"\nnotebook.password = { env = "N" }\n'
NAMES = 'certificate.names = ["win1.example.com", "xn--bcher-kva.example.com", "2001:db8::7"]\n'


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """(mode, options) of each operation, which succeeds everywhere."""
    found: list[Any] = []

    def operate(mode: str, inventory: Inventory, hosts: Sequence[Any], options: Options, ask: Any, view: Any) -> dict[str, Result]:
        found.append((mode, options))
        return {host.name: Result(host.name, outcome="ok", steps={"notebook": "changed"}) for host in hosts}

    monkeypatch.setattr(operation, "operate", operate)
    return found


def rotate(folder: Path, text: str, *names: str, ask: Any = None, **given: Any) -> int:
    (folder / "nbserver.toml").write_text(text, "utf-8")
    loaded = reader.load(folder / "nbserver.toml")
    files = given.get("certificate"), given.get("csr_file")
    return rotation.rotate(loaded, loaded.select(names), *files, Options(), ask, None, quiet=False)  # type: ignore[arg-type]


def test_this_machine_gets_a_typed_or_a_generated_password(tmp_path: Path, sent: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert rotate(tmp_path, "[hosts.local]\n", "local") == 0
    (mode, options) = sent.pop()
    assert mode == "rotate" and len(options.passwords["local"]) == 19
    out = capsys.readouterr()
    assert f"Notebook password (shown only once): {options.passwords['local']}" in out.err and "nbserver verify local" in out.out
    assert rotate(tmp_path, "[hosts.local]\n", "local", ask=lambda question: "correct horse battery") == 0
    assert sent.pop()[1].passwords == {"local": "correct horse battery"} and "shown only once" not in capsys.readouterr().err


def test_a_password_of_the_inventory_is_sent_with_the_mode(tmp_path: Path, sent: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert rotate(tmp_path, WINDOWS, "win1") == 0 and sent == [("rotate", Options())]
    monkeypatch.setenv("N", "correct horse battery")
    host = reader.load(tmp_path / "nbserver.toml").hosts["win1"]
    assert [_password(host, mode, SecretStore(None), None) for mode in ("rotate", "undo")] == ["correct horse battery", None]


def test_a_requested_certificate_needs_a_new_request(tmp_path: Path, sent: list[Any]) -> None:
    requesting = f"{WINDOWS}{NAMES}certificate.request = true\n"
    with pytest.raises(UsageError, match=r"win1: a new key needs a new certificate.*nbserver certificate request win1 -o DIR"):
        rotate(tmp_path, requesting, "win1")
    (tmp_path / "signed.pem").write_text(pem(*CHAIN))
    (tmp_path / "win1.csr").write_bytes(csr(KEY).public_bytes(Encoding.PEM))
    files = {"certificate": tmp_path / "signed.pem", "csr_file": tmp_path / "win1.csr"}
    with pytest.raises(UsageError, match="requires a single host, but 2 hosts are selected"):
        rotate(tmp_path, requesting + requesting.replace("win1", "win2"), "win1", "win2", **files)
    assert not sent
    assert rotate(tmp_path, requesting, "win1", **files) == 0
    assert sent[0][1].chains == {"win1": pem(*CHAIN)}
