"""Certificates that are signed elsewhere: the request of a host, and the certificate that was issued for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from nbserver.base.errors import ScriptError, UsageError
from nbserver.commands import certificate_request
from nbserver.inventory import reader
from nbserver.run.options import Options
from nbserver.run.result import Result
from tests.authority import DAY, NOW, ec_key, key_pem, pem, san
from tests.workstation_certificate import CHAIN, KEY, LEAF, NAMES, SECOND, host


def csr(key: Any, names: Sequence[str] = NAMES) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(LEAF.subject)
    return builder.add_extension(x509.SubjectAlternativeName([san(name) for name in names]), critical=False).sign(key, hashes.SHA256())


def install(folder: Path, request: bytes, chain: str) -> None:
    (folder / "win1.csr").write_bytes(request)
    (folder / "signed.pem").write_text(chain)
    found = host(folder, "certificate.request = true")
    loaded = reader.load(folder / "nbserver.toml")
    certificate_request.install(loaded, found, folder / "signed.pem", folder / "win1.csr", Options(), None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        (pem(SECOND.sign(ec_key().public_key(), NAMES)), "no certificate in the file matches the private key"),
        (pem(SECOND.sign(KEY.public_key(), NAMES[:2])), "do not include xn--bcher-kva.example.com, 2001:db8::7"),
        (pem(SECOND.sign(KEY.public_key(), NAMES, begins=NOW - 9 * DAY, ends=NOW - DAY)), "expired on"),
        ("signed", "no valid PEM certificate"),
        (pem(LEAF) + key_pem(KEY), "contains a private key"),
    ],
)
def test_a_signed_certificate_that_does_not_fit_its_request(tmp_path: Path, chain: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        install(tmp_path, csr(KEY).public_bytes(Encoding.PEM), chain)
    assert words in str(raised.value) and "signed.pem" in str(raised.value)


def test_a_request_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a certificate signing request"):
        install(tmp_path, b"a request", pem(*CHAIN))
    found = host(tmp_path, "certificate.request = true")
    loaded = reader.load(tmp_path / "nbserver.toml")
    with pytest.raises(UsageError, match="contains a certificate request from this host"):
        certificate_request.install(loaded, found, tmp_path / "signed.pem", None, Options(), None, None)  # type: ignore[arg-type]


def test_the_newest_request_of_the_runs_counts(tmp_path: Path) -> None:
    """The signed certificate is for the older of two requests, so it is refused; with the newest it gets as far as the host's names."""
    older, newest = ec_key(), ec_key()
    for run, key in (("20260101T000000Z-aaaaaa", older), ("20260102T000000Z-aaaaaa", newest), ("20260103T000000Z-aaaaaa", None)):
        folder = tmp_path / "nbserver-runs" / run / "win1"
        folder.mkdir(parents=True)
        common = {"v": 1, "n": 2, "time": "2026-01-01T00:00:00.0000000Z", "step": "certificate"}
        event = (
            {**common, "event": "request", "csr": csr(key).public_bytes(Encoding.PEM).decode()} if key else {**common, "event": "changed"}
        )
        broken = {**event, "csr": csr(ec_key()).public_bytes(Encoding.PEM).decode(), "more": 1}
        (folder / "events.jsonl").write_text(json.dumps(broken) + "\n" + json.dumps(event) + "\n" + '\xff\n{"torn', "latin-1")
    found = host(tmp_path, "certificate.request = true")
    loaded = reader.load(tmp_path / "nbserver.toml")

    def refused(chain: str) -> str:
        (tmp_path / "signed.pem").write_text(chain)
        with pytest.raises(UsageError) as raised:
            certificate_request.install(loaded, found, tmp_path / "signed.pem", None, Options(), None, None)  # type: ignore[arg-type]
        return str(raised.value)

    assert "matches the private key" in refused(pem(SECOND.sign(older.public_key(), NAMES)))
    assert "do not include" in refused(pem(SECOND.sign(newest.public_key(), NAMES[:1])))


@pytest.mark.parametrize(
    ("key", "names"), [(KEY, NAMES[:2]), (KEY, [*NAMES, "*.example.com"]), (ec_key(ec.SECP521R1()), NAMES), (None, NAMES)]
)
def test_a_request_that_is_not_for_its_host_is_not_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Any, names: Sequence[str]
) -> None:
    text = csr(key, names).public_bytes(Encoding.PEM).decode() if key else "no request"
    host(tmp_path, "certificate.request = true")
    loaded = reader.load(tmp_path / "nbserver.toml")
    hosts = loaded.select(["win1"])
    monkeypatch.setattr(certificate_request, "operate", lambda *given: {"win1": Result("win1", "ok", csr=text)})
    with pytest.raises(ScriptError, match="a certificate request that is not valid for this host"):
        certificate_request.request(loaded, hosts, tmp_path / "out", Options(), None, None, print)  # type: ignore[arg-type]
    assert not list((tmp_path / "out").iterdir())


def test_a_request_that_cannot_be_written_costs_no_other_host_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [host(tmp_path, "certificate.request = true")]
    hosts.append(hosts[0].model_copy(update={"name": "win2"}))
    text = csr(KEY, NAMES).public_bytes(Encoding.PEM).decode()
    monkeypatch.setattr(certificate_request, "operate", lambda *given: {one.name: Result(one.name, "ok", csr=text) for one in hosts})
    monkeypatch.setattr(certificate_request, "subject_alternative_names", lambda host: NAMES)
    (tmp_path / "out" / "win1.csr" / "taken").mkdir(parents=True)
    said: list[str] = []
    with pytest.raises(UsageError, match=r"win1\.csr: could not write the file"):
        certificate_request.request(reader.load(tmp_path / "nbserver.toml"), hosts, tmp_path / "out", Options(), None, None, said.append)  # type: ignore[arg-type]
    assert said == [str(tmp_path / "out" / "win2.csr")] and (tmp_path / "out" / "win2.csr").read_text() == text
