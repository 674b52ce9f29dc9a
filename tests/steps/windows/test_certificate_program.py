"""The certificate that Python makes where a Windows has no OpenSSL: the program of the script itself, run by this Python."""

from __future__ import annotations

import datetime
import ssl
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, SignatureAlgorithmOID

from tests.powershell.engine import STEP_FILES

KEY = "cl\u00e9.pem"
NAMES = ["localhost", "notebooks.example.com", "127.0.0.1", "::1"]


def shake_hands(folder: Path, name: str) -> None:
    """A client that trusts this certificate, and looks at the name, accepts the server. Raises ssl.SSLError."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "certificate.pem", folder / KEY)  # raises where they do not belong together
    client = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server, server_hostname=name), server.wrap_bio(to_server, to_client, server_side=True)]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass


def make(folder: Path, *names: str, common_name: str = "local", days: int = 397) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    text = (STEP_FILES / "prelude" / "user" / "certificate_program.ps1").read_text("ascii")
    program = folder / "certificate.py"
    program.write_text(text.partition("@'\n")[2].partition("\n'@")[0], "ascii")
    files = folder / KEY, folder / "certificate.pem"
    subprocess.run([sys.executable, "-I", "-X", "utf8", program, *files, str(days), common_name, *names], check=True, capture_output=True)
    key = load_pem_private_key(files[0].read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(files[1].read_bytes()), key


def test_names_key_and_extensions_are_those_of_the_request(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, *NAMES)
    assert isinstance(key.curve, ec.SECP256R1) and certificate.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
    assert certificate.version == x509.Version.v3 and certificate.subject == certificate.issuer
    assert certificate.subject.rfc4514_string() == "CN=local"
    found = {extension.oid: (extension.critical, extension.value) for extension in certificate.extensions}
    alternatives = x509.SubjectAlternativeName(
        [*(x509.DNSName(name) for name in NAMES[:2]), *(x509.IPAddress(ip_address(name)) for name in NAMES[2:])]
    )
    assert found.pop(ExtensionOID.SUBJECT_ALTERNATIVE_NAME) == (False, alternatives)
    assert found.pop(ExtensionOID.BASIC_CONSTRAINTS) == (True, x509.BasicConstraints(ca=False, path_length=None))
    critical, usage = found.pop(ExtensionOID.KEY_USAGE)
    assert critical and isinstance(usage, x509.KeyUsage) and usage.digital_signature
    assert not any(
        getattr(usage, name)
        for name in ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    )
    assert found.pop(ExtensionOID.EXTENDED_KEY_USAGE) == (False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
    assert set(found) == {ExtensionOID.SUBJECT_KEY_IDENTIFIER}


def test_it_is_valid_from_now_for_as_long_as_asked(tmp_path: Path) -> None:
    certificate, _ = make(tmp_path, "localhost", days=90, common_name="a" * 64)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == datetime.timedelta(90)
    assert certificate.not_valid_before_utc <= datetime.datetime.now(datetime.UTC)


def test_a_client_that_trusts_it_accepts_the_server_by_its_names_only(tmp_path: Path) -> None:
    make(tmp_path, *NAMES)
    for name in NAMES:
        shake_hands(tmp_path, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(tmp_path, "another.example.com")


def test_each_certificate_has_a_key_of_its_own(tmp_path: Path) -> None:
    first, second = make(tmp_path, "localhost")[0], make(tmp_path, "localhost")[0]
    assert first.public_key() != second.public_key() and first.serial_number != second.serial_number
