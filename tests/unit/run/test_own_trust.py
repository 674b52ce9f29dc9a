"""The certificate of this user's server is trusted after `up --trust`: replaced after a renewal, removed by undo."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nbserver.base.errors import HostError, UsageError
from nbserver.certificate import trust_store
from nbserver.certificate.trust_store import TrustStore
from nbserver.inventory import own_server
from nbserver.run import own_trust
from tests.notebook_server import make_certificate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done with the store."""
    found: list[str] = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(trust_store, "of_this_user", lambda: TrustStore("certutil"))
    monkeypatch.setattr(TrustStore, "add", lambda self, certificate: found.append("added"))
    monkeypatch.setattr(TrustStore, "remove", lambda self, sha1: found.append("removed"))
    return found


def served(folder: Path) -> str:
    """The server gets a certificate; its fingerprint."""
    folder.mkdir()
    made = make_certificate(folder)
    own_server.certificate().parent.mkdir(parents=True, exist_ok=True)
    own_server.certificate().write_bytes(made.certificate.read_bytes())
    return made.fingerprint


def test_a_renewed_certificate_replaces_the_one_that_was_added(tmp_path: Path, calls: list[str]) -> None:
    first = served(tmp_path / "1")
    own_trust.renew(first)
    assert not calls, "nobody asked for it"
    own_trust.add(first)
    own_trust.renew(first)
    own_trust.renew("")
    trusted = own_server.trusted()
    assert calls == ["added"] and trusted and trusted.fingerprint == first
    second = served(tmp_path / "2")
    own_trust.renew(second)
    assert calls == ["added", "removed", "added"]
    own_server.remember("user", Path("/srv/nbserver.toml"))
    own_trust.remove()
    own_trust.remove()
    assert calls[3:] == ["removed"] and own_server.trusted() is None and own_server.inventory_of("user")


def test_what_was_not_added_is_not_recorded(tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = served(tmp_path / "1")
    with pytest.raises(HostError, match="is not the certificate that the run reported"):
        own_trust.add("SHA256:" + "0" * 64)

    def refuse(self: TrustStore, certificate: Path) -> None:
        raise HostError("trust-store-failed", "no", host="local")

    monkeypatch.setattr(TrustStore, "add", refuse)
    with pytest.raises(HostError):
        own_trust.add(fingerprint)
    assert own_server.trusted() is None and not calls


def test_what_was_not_removed_stays_recorded(tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = served(tmp_path / "1")
    own_trust.add(first)

    def refuse(self: TrustStore, given: object) -> None:
        raise HostError("trust-store-failed", "no", host="local")

    def missing() -> TrustStore:
        raise UsageError("certutil-missing", "no")

    with monkeypatch.context() as patch:
        patch.setattr(TrustStore, "add", refuse)
        with pytest.raises(HostError):
            own_trust.add(first)
    second = served(tmp_path / "2")
    for name, found in (("remove", refuse), ("of_this_user", missing)):
        with monkeypatch.context() as patch:
            patch.setattr(TrustStore if name == "remove" else trust_store, name, found)
            for act in (own_trust.remove, lambda: own_trust.renew(second)):
                with pytest.raises((HostError, UsageError)):
                    act()
        trusted = own_server.trusted()
        assert trusted and trusted.fingerprint == first, "undo must know it"
    own_trust.renew(second)
    trusted = own_server.trusted()
    assert calls == ["added", "removed", "added"] and trusted and trusted.fingerprint == second


def test_machine_scope_is_refused(calls: list[str]) -> None:
    own_trust.require_possible("user")
    with pytest.raises(UsageError, match="--trust requires scope"):
        own_trust.require_possible("machine")
