"""Where a certificate comes from, on a real engine with the real OpenSSL and the real command line: each source is applied, found
again, changed, refused where it does not fit, and undone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import PrivateFormat, load_pem_private_key, pkcs12

from tests import authority, canary, tier
from tests.authority import DAY, NOW, ec_key, intermediate, key_pem, pem, root, rsa_key
from tests.boxes import artifacts
from tests.boxes.recorded_program import recorded
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.endpoint import Endpoint
from tests.certificate_site import NAMES, OPENSSL, PASSWORD, STATE, CertificateSite, certificate_script
from tests.formats import validate

ROOT = root()
INTERMEDIATE = intermediate(ROOT)
PUT_INTO_STORE = r"""
$certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 'C:\nbserver-test\certificates\{name}', '{password}', 'MachineKeySet,PersistKeySet,Exportable'
$store = New-Object Security.Cryptography.X509Certificates.X509Store '{store}', 'LocalMachine'
$store.Open('ReadWrite'); $store.Add($certificate); $store.Close()
$certificate.Thumbprint
"""


@pytest.fixture(scope="module")
def endpoint(windows_host: WindowsBox) -> Iterator[Endpoint]:
    try:
        artifacts.windows_folder()
    except LookupError as missing:
        pytest.skip(f"this needs OpenSSL for Windows: {missing}")
    with windows_host.endpoint(auth=["basic"], https=True, password=PASSWORD, one_process=True) as endpoint:
        yield endpoint


@pytest.fixture
def site(
    windows_host: WindowsBox, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[CertificateSite]:
    monkeypatch.setenv("SITE_PASSWORD", PASSWORD)
    monkeypatch.setenv("PFX_PASSWORD", "a PFX's p\u00e4ssword")
    monkeypatch.setattr("nbserver.render.render.render_all", lambda hosts: [(certificate_script(host), "") for host in hosts])
    site = CertificateSite(tmp_path, windows_host, endpoint, capsys)
    site.prepare()
    yield site
    site.clean_up()


def fingerprint(certificate: x509.Certificate) -> str:
    return "SHA256:" + certificate.fingerprint(hashes.SHA256()).hex()


def served(site: CertificateSite) -> list[x509.Certificate]:
    """What stands in certificate.pem, once it is clear that key.pem is its key."""
    chain = x509.load_pem_x509_certificates(site.file("certificate.pem").encode())
    key = load_pem_private_key(site.file("key.pem").encode(), None)
    assert key.public_key() == chain[0].public_key()
    return chain


def own_names(certificate: x509.Certificate | x509.CertificateSigningRequest) -> set[str]:
    return {str(name.value) for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value}


def expect(site: CertificateSite, command: str, event: str, *more: str) -> Any:
    ran = site.run(command, "win1", *more)
    assert not ran.error
    assert [
        one["event"]
        for one in ran.events
        if one["step"] == "certificate" and one["event"] in ("changed", "unchanged", "difference", "failed")
    ][-1:] == [event], ran
    for one in ran.events:
        validate("event", one)
    return ran


def expect_undone(site: CertificateSite) -> None:
    ran = site.run("undo", "win1")
    assert ran.code == 0, ran
    assert not site.service.exists()
    assert not (site.state / "before").exists()


def test_made_by_the_host_as_before(site: CertificateSite) -> None:
    assert expect(site, "apply", "changed").code == 0
    (own,) = served(site)
    assert own_names(own) == set(NAMES) and own.issuer == own.subject
    assert expect(site, "plan", "unchanged").code == 0
    assert site.files() == ["certificate.cnf", "certificate.pem", "certificate.source", "key.pem"]
    site.service.joinpath("key.pem").write_text(key_pem(ec_key()))  # as a partial restore of a backup leaves it
    assert expect(site, "apply", "changed").code == 0
    (own,) = served(site)
    site.service.joinpath("certificate.source").write_text("unfinished")  # as a run leaves it that is cut off
    assert expect(site, "apply", "changed").last["fingerprint"] == fingerprint(served(site)[0]) != fingerprint(own)
    expect_undone(site)


def write_workstation(site: CertificateSite, key: Any, *chain: x509.Certificate) -> None:
    site.secret_file("server.key", key_pem(key))
    (site.folder / "server.pem").write_text(pem(*chain))
    site.write(file="server.pem", key__file="server.key")


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_sent_by_the_workstation(site: CertificateSite, kind: str) -> None:
    key = ec_key() if kind == "ec" else rsa_key(4096)
    first = INTERMEDIATE.sign(key.public_key(), NAMES)
    write_workstation(site, key, ROOT.certificate, INTERMEDIATE.certificate, first)
    assert expect(site, "plan", "difference").code == 4 and not site.service.exists()
    applied = expect(site, "apply", "changed")
    assert applied.last["fingerprint"] == fingerprint(first)
    assert served(site) == [first, INTERMEDIATE.certificate]
    if kind == "rsa" and not tier.FULL:  # what follows does not ask for the kind of key
        expect_undone(site)
        return
    for command in ("apply", "plan"):
        assert expect(site, command, "unchanged").last["fingerprint"] == fingerprint(first)
    known = json.loads((site.folder / "nbserver.known").read_text())
    assert known["hosts"]["win1"]["fingerprint"] == fingerprint(first)

    script = (site.folder / "nbserver-runs").glob("*/win1/script.sha256")
    renewed = INTERMEDIATE.sign(key.public_key(), NAMES)
    write_workstation(site, key, renewed, INTERMEDIATE.certificate)
    assert expect(site, "plan", "difference").last["fingerprint"] == fingerprint(first)
    assert expect(site, "apply", "changed").last["fingerprint"] == fingerprint(renewed)
    assert len({path.read_text() for path in (site.folder / "nbserver-runs").glob("*/win1/script.sha256")}) == 1, (
        "renewing changes no script"
    )
    assert list(script)

    (site.service / "key.pem").write_text(key_pem(ec_key()))  # somebody's hand
    assert expect(site, "apply", "changed").code == 0
    served(site)
    site.write()
    assert expect(site, "apply", "changed").code == 0, "back to its own"
    (own,) = served(site)
    assert own.issuer == own.subject
    expect_undone(site)


def test_undo_puts_back_what_was_there(site: CertificateSite) -> None:
    site.service.mkdir(parents=True)
    theirs = {"certificate.pem": "theirs", "key.pem": "their key"}
    for name, text in theirs.items():
        (site.service / name).write_text(text)
    key = ec_key()
    write_workstation(site, key, INTERMEDIATE.sign(key.public_key(), NAMES), INTERMEDIATE.certificate)
    site.ask(r"Set-StandInAccess 'C:\ProgramData\nbserver' 'O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'")
    assert expect(site, "apply", "changed").code == 0
    served(site)
    assert site.run("undo", "win1").code == 0
    assert {name: site.file(name) for name in site.files()} == theirs


def test_a_key_of_another_certificate_is_refused_by_the_workstation_and_by_the_host(
    site: CertificateSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = ec_key(), ec_key()
    first = INTERMEDIATE.sign(key.public_key(), NAMES)
    write_workstation(site, key, first, INTERMEDIATE.certificate)
    assert expect(site, "apply", "changed").code == 0

    write_workstation(site, other, first, INTERMEDIATE.certificate)
    refused = site.run("apply", "win1")
    assert refused.code == 2 and "matches the private key" in refused.error and not refused.events

    from nbserver.certificate import workstation

    chain = pem(INTERMEDIATE.sign(key.public_key(), NAMES))
    monkeypatch.setattr(workstation, "read", lambda host, ask: workstation.ServerCertificate(chain, key_pem(other)))
    ran = expect(site, "apply", "failed")
    assert ran.code == 3 and "the certificate does not match the private key" in ran.failure
    assert served(site)[0] == first
    assert site.files() == ["certificate.pem", "certificate.source", "key.pem"]


def test_by_hand_a_test_needs_no_secret(site: CertificateSite) -> None:
    key = ec_key()
    write_workstation(
        site, key, INTERMEDIATE.sign(key.public_key(), NAMES, begins=NOW - 60 * DAY, ends=NOW + 10 * DAY), INTERMEDIATE.certificate
    )
    assert '"should":"workstation"' in "".join(certificate_plan_by_hand(site))
    assert len(expect(site, "apply", "changed").of("warning")) == 1, "it ends in ten days"
    lines = certificate_plan_by_hand(site)
    assert json.loads(lines[-1])["differs"] is False
    (site.service / "key.pem").write_text(key_pem(ec_key()))
    assert json.loads(certificate_plan_by_hand(site)[-1])["differs"] is True


def certificate_plan_by_hand(site: CertificateSite) -> list[str]:
    """The events of a test whose envelope has no secret."""
    return site.ask(certificate_script(site.host).text, ["mode test", "run by-hand"])


# ---- the machine's store


def put_into_store(site: CertificateSite, certificate: x509.Certificate, key: Any, *, exportable: bool = True) -> str:
    folder = site.windows.path(r"C:\nbserver-test") / "certificates"
    folder.mkdir(exist_ok=True)
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2000)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(b"in")
    )
    (folder / "in.pfx").write_bytes(pkcs12.serialize_key_and_certificates(b"x", key, certificate, None, encryption))
    (folder / "in.pem").write_text(pem(INTERMEDIATE.certificate))
    (thumbprint,) = site.ask(PUT_INTO_STORE.format(name="in.pfx", password="in", store="My"))
    site.ask(PUT_INTO_STORE.format(name="in.pem", password="", store="CA"))
    if exportable:
        (folder / f"{thumbprint}.key").write_text(key_pem(key))
    return thumbprint


def test_from_the_machines_store(site: CertificateSite) -> None:
    key = rsa_key()
    certificate = INTERMEDIATE.sign(key.public_key(), NAMES, begins=NOW - 70 * DAY, ends=NOW + 20 * DAY)
    thumbprint = put_into_store(site, certificate, key)
    assert thumbprint == certificate.fingerprint(hashes.SHA1()).hex().upper()
    site.write(thumbprint=" ".join(re.findall("..", thumbprint.lower())))
    assert expect(site, "plan", "difference").code == 4
    applied = expect(site, "apply", "changed")
    assert applied.last["fingerprint"] == fingerprint(certificate)
    assert served(site) == [certificate, INTERMEDIATE.certificate]
    assert site.files() == ["certificate.pem", "certificate.source", "key.pem"], "no PFX is left"
    assert "the certificate expires" in applied.of("warning")[0]["text"] and len(applied.of("warning")) == 1
    again = expect(site, "apply", "unchanged")
    assert again.of("warning")

    other = INTERMEDIATE.sign(key.public_key(), NAMES)
    site.write(thumbprint=put_into_store(site, other, key))
    assert expect(site, "apply", "changed").last["fingerprint"] == fingerprint(other)

    short_lived = INTERMEDIATE.sign(key.public_key(), NAMES, begins=NOW - 25 * DAY, ends=NOW + 20 * DAY)
    site.write(thumbprint=put_into_store(site, short_lived, key))
    assert not expect(site, "apply", "changed").of("warning"), "what renews it has until the last third of its lifetime"
    expect_undone(site)


def test_what_the_store_lacks_is_told_before_anything_is_changed(site: CertificateSite) -> None:
    site.write(thumbprint="0123456789" * 4)
    ran = expect(site, "plan", "failed")
    assert "Cert:\\LocalMachine\\My\\0123456789" in ran.failure and "does not exist" in ran.failure and not site.service.exists()

    key = rsa_key()
    wildcard = INTERMEDIATE.sign(key.public_key(), [*NAMES, "*.example.com"])
    site.write(thumbprint=put_into_store(site, wildcard, key))
    assert "wildcard" in expect(site, "apply", "failed").failure
    lacking = INTERMEDIATE.sign(key.public_key(), NAMES[:1])
    site.write(thumbprint=put_into_store(site, lacking, key))
    assert "must include win1.example.com" in expect(site, "apply", "failed").failure
    ended = INTERMEDIATE.sign(key.public_key(), NAMES, ends=NOW - DAY / 2)
    site.write(thumbprint=put_into_store(site, ended, key))
    assert "the certificate expired on" in expect(site, "apply", "failed").failure
    short = rsa_key(1024)
    site.write(thumbprint=put_into_store(site, INTERMEDIATE.sign(short.public_key(), NAMES), short))
    assert "2048" in expect(site, "apply", "failed").failure
    assert not site.service.exists()

    bound = INTERMEDIATE.sign(key.public_key(), NAMES)
    site.write(thumbprint=put_into_store(site, bound, key, exportable=False))
    ran = expect(site, "apply", "failed")
    assert "could not export the private key for" in ran.failure and "exportable" in ran.failure
    assert site.files() == []

    (site.windows.path(r"C:\nbserver-test\certificates") / f"{bound.fingerprint(hashes.SHA1()).hex().upper()}.key").write_text(key_pem(key))
    (site.windows.path(r"C:\nbserver-test\certificates") / f"{bound.fingerprint(hashes.SHA1()).hex().upper()}.pfx").write_text(
        "none that can be opened"
    )
    ran = expect(site, "apply", "failed")
    assert "could not read the private key that Windows exported" in ran.failure
    assert site.files() == []


# ---- requested here, signed elsewhere


def csr_of(site: CertificateSite) -> x509.CertificateSigningRequest:
    return x509.load_pem_x509_csr((site.folder / "out" / "win1.csr").read_bytes())


def test_requested_and_signed_elsewhere(site: CertificateSite) -> None:
    site.write(request=True)
    unsigned = expect(site, "apply", "failed")
    assert "nbserver certificate request win1" in unsigned.failure

    out = str(site.folder / "out")
    asked = site.run("certificate", "request", "win1", "-o", out)
    assert asked.code == 0 and out in asked.out, asked
    csr = csr_of(site)
    assert own_names(csr) == set(NAMES) and csr.is_signature_valid and csr.public_key().curve.name == "secp256r1"  # type: ignore[union-attr]
    assert csr.signature_hash_algorithm and csr.signature_hash_algorithm.name == "sha256"
    for one in asked.events:
        validate("event", one)
    first = (site.folder / "out" / "win1.csr").read_bytes()
    again = site.run("certificate", "request", "win1", "-o", out)
    assert again.code == 0 and (site.folder / "out" / "win1.csr").read_bytes() == first
    assert not again.of("changed")
    by_hand = site.by_hand("-Mode", "request")
    told = [json.loads(line) for line in by_hand.stdout.decode("ascii").splitlines()]
    assert by_hand.returncode == 0 and [one["csr"].encode() for one in told if one["event"] == "request"] == [first]

    wrong = site.folder / "wrong.pem"
    wrong.write_text(pem(INTERMEDIATE.sign(ec_key().public_key(), NAMES), INTERMEDIATE.certificate))
    refused = site.run("certificate", "install", "win1", str(wrong))
    assert refused.code == 2 and "matches the private key" in refused.error and not refused.events

    signed = INTERMEDIATE.answer(csr, ends=NOW + 200 * DAY)
    chain = site.folder / "signed.pem"
    chain.write_text(pem(INTERMEDIATE.certificate, signed, ROOT.certificate))
    installed = site.run("certificate", "install", "win1", str(chain))
    assert installed.code == 0, installed
    assert installed.last["fingerprint"] == fingerprint(signed)
    assert served(site) == [signed, INTERMEDIATE.certificate]
    assert site.files() == ["certificate.pem", "certificate.source", "key.pem"]
    for command in ("plan", "apply"):
        assert expect(site, command, "unchanged").code == 0

    # renewed: the key in use stays until the new certificate is there
    key = site.file("key.pem")
    assert site.run("certificate", "request", "win1", "-o", out).code == 0
    assert (site.folder / "out" / "win1.csr").read_bytes() != first
    assert site.file("key.pem") == key and site.files() == ["certificate.pem", "certificate.source", "key.pem"]
    assert expect(site, "apply", "unchanged").code == 0
    renewed = INTERMEDIATE.answer(csr_of(site))
    chain.write_text(pem(renewed, INTERMEDIATE.certificate))
    assert site.run("certificate", "install", "win1", str(chain)).last["fingerprint"] == fingerprint(renewed)
    assert site.file("key.pem") != key
    assert served(site)[0] == renewed

    # a chain that is mended later is for the key in use
    chain.write_text(pem(renewed))
    assert site.run("certificate", "install", "win1", str(chain), "--csr", str(site.folder / "out" / "win1.csr")).code == 0
    assert served(site) == [renewed]

    site.write(request=True, names=["other.example.com"])
    lacking = expect(site, "plan", "difference")
    assert "must include other.example.com" in str(lacking.of("difference"))
    assert "certificate request" in expect(site, "apply", "failed").failure
    expect_undone(site)


def test_a_request_is_undone_too_and_never_made_uncalled(site: CertificateSite) -> None:
    out = str(site.folder / "out")
    refused = site.run("certificate", "request", "win1", "-o", out)
    assert refused.code == 2 and "certificate.request = true" in refused.error
    site.write(request=True)
    assert site.run("certificate", "request", "win1", "-o", out).code == 0
    assert site.files() == [], "a notebook can read what is in this folder"
    (access,) = site.ask(f"[string](Get-Acl -LiteralPath '{STATE}\\request').GetSecurityDescriptorSddlForm('Access')")
    assert access == "D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)" and (site.state / "request" / "key-request.pem").is_file()
    site.write(request=True, names=["other.example.com"])
    before = csr_of(site)
    assert site.run("certificate", "request", "win1", "-o", out).code == 0
    assert own_names(csr_of(site)) == {"127.0.0.1", "other.example.com"} and csr_of(site).public_key() != before.public_key()
    expect_undone(site)
    assert not (site.state / "request").exists()


# ---- where a key may be


def test_a_key_is_nowhere_but_in_its_file(site: CertificateSite) -> None:
    key = rsa_key()
    certificate = INTERMEDIATE.sign(key.public_key(), NAMES)
    data = pkcs12.serialize_key_and_certificates(
        None, key, certificate, [INTERMEDIATE.certificate], authority.encryption("a PFX's p\u00e4ssword")
    )
    (site.folder / "server.pfx").write_bytes(data)
    site.write(pfx="server.pfx", password__env="PFX_PASSWORD")
    seen: set[bytes] = set()
    openssl = site.windows.path(OPENSSL) / "OpenSSL-Win64" / "bin" / "openssl.exe"
    with canary.watching(seen), recorded(site.windows, openssl) as command_lines:
        applied = expect(site, "apply", "changed")
        seen.update(command_lines())
        assert any(b" pkey " in line for line in command_lines()), command_lines()
    assert applied.code == 0
    middle = key_pem(key).splitlines()[5]
    secrets = {"key": middle, "password": "a PFX's p\u00e4ssword"}
    found = canary.files_with(secrets, [site.folder, site.state, site.windows.path(r"C:\nbserver-test"), site.windows.path(r"C:\users")])
    assert found == {"key": [site.service / "key.pem"], "password": []}
    assert not any(form in line for secret in secrets.values() for form in canary.forms(secret) for line in seen)
