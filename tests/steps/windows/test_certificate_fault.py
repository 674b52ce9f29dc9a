"""What the host refuses to serve, by its own function on a real engine: the same as the workstation refuses, case by case."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

from nbserver.certificate.chain import ChainFault, check
from tests.authority import DAY, NOW, ec_key, explicit_curve, named, root, rsa_key, san
from tests.powershell.engine import Session, prelude, require_engine

NAMES = ["127.0.0.1", "win1.example.com"]
ROOT = root()
READ = (
    "foreach ($line in $input) { $certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 "
    '(, [Convert]::FromBase64String($line)); $fault = Get-CertificateFault $certificate; if ($fault) { $fault.Message } else { "" } }'
)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        settings = json.dumps({"certificate": {"names": NAMES}})
        opened.keep(f"{prelude('run', 'hashes', 'der', 'certificates', 'certificate_rules')}\n$Settings = ConvertFrom-Json '{settings}'")
        yield opened


def certificate(
    key: Any,
    *extensions: tuple[x509.ExtensionType, bool],
    names: Sequence[str] = NAMES,
    more: Sequence[x509.GeneralName] = (),
    ends: Any = NOW + DAY,
    algorithm: Any = None,
    begins: Any = NOW - 2 * DAY,
) -> x509.Certificate:
    """With these extensions, its names, and no other."""
    builder = x509.CertificateBuilder(ROOT.certificate.subject, named("server"), key, x509.random_serial_number(), begins, ends)
    for value, critical in (*extensions, (x509.SubjectAlternativeName([*(san(name) for name in names), *more]), False)):
        builder = builder.add_extension(value, critical)
    return builder.sign(ROOT.key, algorithm or hashes.SHA256())


def with_explicit_curve() -> x509.Certificate:
    """With an EC key whose curve is written out instead of named."""
    return explicit_curve(NAMES)[0]


def key_usage(**which: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
    )
    return x509.KeyUsage(**{**dict.fromkeys((*names, "encipher_only", "decipher_only"), False), **which})


def rsa_of(bits: int) -> rsa.RSAPublicKey:
    """A public key with a modulus of exactly so many bits; nobody has its private key."""
    return rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) | (0x5A5A5A5A << (bits - 64)) | 0x1234567F).public_key()


def faults(session: Session, one: x509.Certificate) -> tuple[str, str]:
    """What the host says, and what the workstation says."""
    (host,) = session.run(READ, [base64.b64encode(one.public_bytes(Encoding.DER)).decode("ascii")])
    try:
        check([one], NAMES, NOW)
    except ChainFault as fault:
        return host, str(fault)
    return host, ""


CA = (x509.BasicConstraints(ca=True, path_length=None), True)
LEAF = (x509.BasicConstraints(ca=False, path_length=None), True)
# A key, extensions, and a part of the host's words; none where it may be served.
CASES: dict[str, tuple[Callable[[], Any], list[tuple[x509.ExtensionType, bool]], str]] = {
    "no extensions": (ec_key, [], ""),
    "CA:FALSE": (ec_key, [LEAF], ""),
    "CA:TRUE": (ec_key, [CA], "CA certificate"),
    "CA:TRUE, not critical": (ec_key, [(CA[0], False)], "CA certificate"),
    "serverAuth": (ec_key, [(x509.ExtendedKeyUsage([Purpose.SERVER_AUTH]), False)], ""),
    "both": (ec_key, [(x509.ExtendedKeyUsage([Purpose.CLIENT_AUTH, Purpose.SERVER_AUTH]), True)], ""),
    "any": (ec_key, [(x509.ExtendedKeyUsage([Purpose.ANY_EXTENDED_KEY_USAGE]), False)], ""),
    "clientAuth": (
        ec_key,
        [LEAF, (x509.ExtendedKeyUsage([Purpose.CLIENT_AUTH]), False)],
        "extended key usage does not include server authentication",
    ),
    "digitalSignature": (ec_key, [(key_usage(digital_signature=True), True)], ""),
    "keyEncipherment": (rsa_key, [(key_usage(key_encipherment=True), True)], "does not include digitalSignature"),
    "encipherOnly": (ec_key, [(key_usage(key_agreement=True, encipher_only=True), True)], "does not include digitalSignature"),
    "all of a server": (
        rsa_key,
        [LEAF, (key_usage(digital_signature=True, key_encipherment=True), True), (x509.ExtendedKeyUsage([Purpose.SERVER_AUTH]), False)],
        "",
    ),
    "P-384": (lambda: ec.generate_private_key(ec.SECP384R1()), [], ""),
    "P-521": (lambda: ec.generate_private_key(ec.SECP521R1()), [], "the certificate must have an RSA key, or an EC key on P-256 or P-384"),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate, [], "the certificate must have an RSA key, or an EC key on P-256 or P-384"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_certificate_is_for(session: Session, case: str) -> None:
    make, extensions, words = CASES[case]
    host, workstation = faults(session, certificate(make().public_key(), *extensions))
    assert (words in host and host) if words else host == "", (host, workstation)
    assert bool(host) == bool(workstation), "both sides have the same rules"


@pytest.mark.parametrize("bits", [1024, 1960, 1984, 2040, 2047, 2048, 2049, 2056, 3072, 4095, 8191, 8192, 8193, 8200, 9216])
def test_how_long_an_rsa_key_may_be(session: Session, bits: int) -> None:
    host, workstation = faults(session, certificate(rsa_of(bits)))
    assert host == ("" if 2048 <= bits <= 8192 else f"the RSA key has {bits} bits, expected 2048 to 8192")
    assert bool(host) == bool(workstation)


def test_names_dates_and_signature(session: Session) -> None:
    key = ec_key().public_key()
    for one, words in (
        (certificate(key, names=NAMES[:1]), "must include win1.example.com"),
        (certificate(key, names=[*NAMES, "*.example.com"]), "wildcard"),
        (certificate(key, names=NAMES[1:], more=[x509.DNSName(NAMES[0])]), "has the IP address 127.0.0.1 as a DNS name"),
        (certificate(key, more=[x509.DNSName(NAMES[0])]), ""),
        (with_explicit_curve(), "the certificate must have an RSA key, or an EC key on P-256 or P-384"),
        (certificate(key, ends=NOW - DAY / 2), "the certificate expired on"),
        (certificate(key, begins=NOW + DAY / 2), "is not valid before"),
        (certificate(key, algorithm=hashes.SHA512()), ""),
        (certificate(key, algorithm=hashes.SHA224()), "is signed with 1.2.840.10045.4.3.1, expected RSA or ECDSA with SHA-256"),
    ):
        host, workstation = faults(session, one)
        assert (words in host and host) if words else host == "", host
        assert bool(host) == bool(workstation)
