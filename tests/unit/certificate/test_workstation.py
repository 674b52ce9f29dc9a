"""A certificate that comes from the workstation: read, put into order and refused, with real certificates, keys and PFX files."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key, pkcs7, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import InventoryError, NbserverError, SecretError
from nbserver.certificate import chain as certificate_chain
from nbserver.certificate import workstation
from nbserver.certificate.chain import ChainFault
from nbserver.inventory import merging
from nbserver.inventory.windows_host import WindowsHost
from nbserver.settings.secret_store import SecretStore
from tests.authority import (
    DAY,
    NOW,
    Signer,
    ec_key,
    encryption,
    explicit_curve,
    explicit_key_pem,
    intermediate,
    key_pem,
    pem,
    root,
    rsa_key,
    san,
    self_signed,
)
from tests.tier import examples
from tests.workstation_certificate import CHAIN, FIRST, KEY, LEAF, NAMES, ROOT, SECOND, SECRET, host, pem_host


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_SECRET", SECRET)


def read(found: WindowsHost) -> workstation.ServerCertificate:
    return workstation.read(found, SecretStore(None))


def refusal(found: WindowsHost, kind: type[NbserverError] = InventoryError, now: datetime.datetime | None = None) -> str:
    """The words of a refusal, which name the host and hold no secret."""
    with pytest.raises(kind) as raised:
        workstation.read(found, SecretStore(None), now)
    text = str(raised.value)
    assert "win1" in text and raised.value.todo
    assert SECRET not in text and "PRIVATE" not in text
    assert raised.value.__cause__ is None and (raised.value.__suppress_context__ or raised.value.__context__ is None), (
        "no traceback tells more"
    )
    return text


FORMS = {
    "PKCS#8": (KEY, PrivateFormat.PKCS8),
    "SEC1": (KEY, PrivateFormat.TraditionalOpenSSL),
    "PKCS#8 of RSA": (rsa_key(), PrivateFormat.PKCS8),
    "PKCS#1": (rsa_key(), PrivateFormat.TraditionalOpenSSL),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_key_in_each_form(tmp_path: Path, form: str, encrypted: bool) -> None:
    key, kind = FORMS[form]
    leaf = SECOND.sign(key.public_key(), NAMES)
    more = 'certificate.password = { env = "SERVER_SECRET" }' if encrypted else ""
    found = read(pem_host(tmp_path, pem(leaf, SECOND.certificate), key_pem(key, kind, SECRET if encrypted else None), more))
    assert x509.load_pem_x509_certificates(found.chain.encode()) == [leaf, SECOND.certificate]
    assert found.key.startswith("-----BEGIN PRIVATE KEY-----")
    assert load_pem_private_key(found.key.encode(), None).private_numbers() == key.private_numbers()  # type: ignore[union-attr]
    assert found.key.splitlines()[1] not in repr(found)


@examples(30)
@given(st.permutations([*CHAIN, ROOT.certificate, LEAF]), st.sampled_from(["", "# words\n", "\r\n"]))
def test_any_order_becomes_the_servers_own(order: Sequence[x509.Certificate], between: str) -> None:
    text = between.join(pem(one) for one in order)
    chain = certificate_chain.order(certificate_chain.read_pem(text.encode()), certificate_chain.spki(KEY.public_key()))
    assert tuple(chain) == CHAIN


@examples(100)
@given(
    st.binary(max_size=400)
    | st.text(max_size=400).map(lambda text: f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n".encode())
)
def test_what_is_no_pem_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(ChainFault):
        certificate_chain.read_pem(data)


@examples(100)
@given(st.data())
def test_a_damaged_certificate_is_refused_in_words(data: st.DataObject) -> None:
    der = bytearray(LEAF.public_bytes(Encoding.DER))
    unused_bits = len(der) - len(LEAF.signature) - 1  # a signature whose last bit is 0 is the same with 1 unused bit
    der[data.draw(st.integers(0, len(der) - 1).filter(lambda at: at != unused_bits))] ^= data.draw(st.integers(1, 255))
    text = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(bytes(der)).decode()}-----END CERTIFICATE-----\n"
    with pytest.raises(ChainFault):
        found = certificate_chain.read_pem(text.encode() + pem(SECOND.certificate, FIRST.certificate).encode())
        certificate_chain.check(certificate_chain.order(found, certificate_chain.spki(KEY.public_key())), NAMES, NOW)


P7B = pkcs7.serialize_certificates([ROOT.certificate, *reversed(CHAIN)], Encoding.DER)
FILES = {
    "p7b": pkcs7.serialize_certificates([ROOT.certificate, *reversed(CHAIN)], Encoding.PEM),
    "p7b in DER": P7B,
    "p7b that is called a certificate": b"-----BEGIN CERTIFICATE-----\r\n"
    + base64.encodebytes(P7B).replace(b"\n", b"\r\n")
    + b"-----END CERTIFICATE-----\r\n",
    "p7b and PEM": pkcs7.serialize_certificates([*CHAIN[1:]], Encoding.PEM) + pem(LEAF).encode(),
    "UTF-8 with a mark": pem(*CHAIN).encode("utf-8-sig"),
    "UTF-16": pem(*CHAIN).replace("\n", "\r\n").encode("utf-16"),
    "UTF-16 without a mark": pem(*CHAIN).replace("\n", "\r\n").encode("utf-16-le"),
}


@pytest.mark.parametrize("form", FILES)
def test_a_chain_in_each_form(tmp_path: Path, form: str) -> None:
    assert read(pem_host(tmp_path, FILES[form], key_pem(KEY))).chain == pem(*CHAIN)


def test_a_key_in_utf_16(tmp_path: Path) -> None:
    found = pem_host(tmp_path, pem(*CHAIN), key_pem(KEY))
    for encoding in ("utf-16", "utf-16-le"):
        (tmp_path / "server.key").write_text(key_pem(KEY), encoding)
        assert read(found).key == key_pem(KEY)


def test_cross_signed_authorities(tmp_path: Path) -> None:
    """The authority above the intermediate has a root certificate, and one from an older authority: both may be in the file."""
    old, new = root("old"), root("new")
    crossed = old.sign(new.key.public_key(), subject="new", ca=True)
    middle = intermediate(new, "middle")
    leaf = middle.sign(KEY.public_key(), NAMES)
    long = pem(leaf, middle.certificate, crossed)
    for others in ((crossed,), (crossed, new.certificate), (new.certificate, crossed), (new.certificate, old.certificate, crossed)):
        assert read(pem_host(tmp_path, pem(*others, middle.certificate, leaf), key_pem(KEY))).chain == long
    assert read(pem_host(tmp_path, pem(new.certificate, middle.certificate, leaf), key_pem(KEY))).chain == pem(leaf, middle.certificate)

    ended = old.sign(new.key.public_key(), subject="new", ca=True, begins=NOW - 9 * DAY, ends=NOW - DAY)
    for others in ((ended, new.certificate), (new.certificate, ended)):
        assert read(pem_host(tmp_path, pem(leaf, middle.certificate, *others), key_pem(KEY))).chain == pem(leaf, middle.certificate)
    assert "CN=new expired on" in refusal(pem_host(tmp_path, pem(leaf, middle.certificate, ended), key_pem(KEY)))

    both = [
        Signer(one.sign(other.key.public_key(), subject=name, ca=True), other.key)
        for one, other, name in ((old, new, "new"), (new, old, "old"))
    ]
    found = read(pem_host(tmp_path, pem(leaf, middle.certificate, *(one.certificate for one in both)), key_pem(KEY)))
    assert found.chain == pem(leaf, middle.certificate, *(one.certificate for one in both))
    stranger = intermediate(old, "stranger").certificate
    assert "not part of the chain: CN=stranger" in refusal(pem_host(tmp_path, long + pem(stranger), key_pem(KEY)))


def test_a_curve_that_is_written_out(tmp_path: Path) -> None:
    """Of a key alone it does not matter: it is sent with the curve's name. In a certificate no browser accepts it."""
    assert "BEGIN" in explicit_key_pem(KEY) and len(explicit_key_pem(KEY)) > 500
    try:
        load_pem_private_key(explicit_key_pem(KEY).encode(), None)
    except ValueError:  # an older cryptography does not read such a key
        assert "must be a private key in PEM format" in refusal(pem_host(tmp_path, pem(*CHAIN), explicit_key_pem(KEY)), SecretError)
    else:
        assert read(pem_host(tmp_path, pem(*CHAIN), explicit_key_pem(KEY))).key == key_pem(KEY)
    leaf, key = explicit_curve(NAMES)
    said = refusal(pem_host(tmp_path, pem(leaf), key_pem(key)))
    assert "CN=server has an EC key with explicit curve parameters" in said or "contains an invalid certificate" in said


def test_an_address_as_a_dns_name(tmp_path: Path) -> None:
    names = [*map(san, NAMES[1:]), x509.DNSName("192.0.2.7")]
    builder = x509.CertificateBuilder(
        ROOT.certificate.subject, LEAF.subject, KEY.public_key(), x509.random_serial_number(), NOW - DAY, NOW + DAY
    )

    def signed(names: Sequence[x509.GeneralName]) -> str:
        return pem(builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(ROOT.key, hashes.SHA256()))

    text = refusal(pem_host(tmp_path, signed(names), key_pem(KEY)))
    assert "the certificate lists the IP address 192.0.2.7 as a DNS name, which browsers do not accept" in text
    assert "reissued with subjectAltName = IP:192.0.2.7 instead of DNS:192.0.2.7" in text
    both = signed([*names, san("192.0.2.7")])
    assert read(pem_host(tmp_path, both, key_pem(KEY))).chain == both


def test_a_chain_of_its_own_signature(tmp_path: Path) -> None:
    own = self_signed(KEY, NAMES, subject="server", ca=False)
    assert read(pem_host(tmp_path, pem(own), key_pem(KEY))).chain == pem(own)


def as_if_by_sha_1(certificate: x509.Certificate) -> x509.Certificate:
    """The same with another algorithm's name in its bytes: nothing here signs with SHA-1 any more."""
    rsa = bytes.fromhex("06092a864886f70d0101")
    return x509.load_der_x509_certificate(certificate.public_bytes(Encoding.DER).replace(rsa + b"\x0b", rsa + b"\x05"))


WRONG: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "another key": (CHAIN, ec_key(), "no certificate in the file matches the private key"),
    "two of one key": ((LEAF, SECOND.sign(KEY.public_key(), NAMES), SECOND.certificate), KEY, "2 certificates for the same private key"),
    "a stranger": ((*CHAIN, intermediate(ROOT, "stranger").certificate), KEY, "not part of the chain: CN=stranger"),
    "a gap": ((LEAF, FIRST.certificate), KEY, "not part of the chain: CN=first"),
    "a wildcard": ((SECOND.sign(KEY.public_key(), [*NAMES, "*.example.com"]),), KEY, "*.example.com"),
    "only a wildcard": (
        (SECOND.sign(KEY.public_key(), ["*.example.com", "192.0.2.7"]),),
        KEY,
        "anyone who can use a notebook could read the private key",
    ),
    "a name too few": ((SECOND.sign(KEY.public_key(), NAMES[:3]),), KEY, "do not include 2001:db8::7"),
    "a network": ((SECOND.sign(KEY.public_key(), [*NAMES, "192.0.2.0/24"]),), KEY, "neither a DNS name nor an IP address"),
    "no SAN": ((SECOND.sign(KEY.public_key(), subject="win1.example.com"),), KEY, "found: none"),
    "an address as a name": ((SECOND.sign(KEY.public_key(), NAMES[1:], subject="x"),), KEY, "do not include 192.0.2.7"),
    "ended": ((SECOND.sign(KEY.public_key(), NAMES, begins=NOW - 9 * DAY, ends=NOW - DAY),), KEY, "expired on"),
    "not yet": ((SECOND.sign(KEY.public_key(), NAMES, begins=NOW + DAY),), KEY, "not valid until"),
    "an authority": ((SECOND.sign(KEY.public_key(), NAMES, ca=True),), KEY, "CA certificate"),
    "for clients": (
        (SECOND.sign(KEY.public_key(), NAMES, purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]),),
        KEY,
        "does not include server authentication",
    ),
    "P-521": ((SECOND.sign((p521 := ec_key(ec.SECP521R1())).public_key(), NAMES),), p521, "secp521r1"),
    "Ed25519": ((SECOND.sign((ed := ed25519.Ed25519PrivateKey.generate()).public_key(), NAMES),), ed, "neither an RSA key nor an EC key"),
    "SHA-1": ((as_if_by_sha_1(Signer(ROOT.certificate, rsa_key()).sign(KEY.public_key(), NAMES)),), KEY, "signed with sha1"),
    "short RSA": ((SECOND.sign(rsa_key(1024).public_key(), NAMES),), rsa_key(1024), "1024 bits"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused(tmp_path: Path, case: str) -> None:
    chain, key, words = WRONG[case]
    assert words in refusal(pem_host(tmp_path, pem(*chain), key_pem(key)))


def test_an_authority_in_the_chain_is_looked_at_too(tmp_path: Path) -> None:
    old = intermediate(ROOT, "old", begins=NOW - 9 * DAY, ends=NOW - DAY)
    leaf = old.sign(KEY.public_key(), NAMES)
    assert "CN=old expired on" in refusal(pem_host(tmp_path, pem(leaf, old.certificate), key_pem(KEY)))


def test_the_clock_decides(tmp_path: Path) -> None:
    found = pem_host(tmp_path, pem(*CHAIN), key_pem(KEY))
    assert "expired on" in refusal(found, now=LEAF.not_valid_after_utc)
    assert workstation.read(found, SecretStore(None), LEAF.not_valid_after_utc - datetime.timedelta(seconds=1)).chain == pem(*CHAIN)


KEYS = {
    "encrypted without a password": (key_pem(KEY, PrivateFormat.PKCS8, SECRET), "", "is encrypted"),
    "a password that it does not need": (key_pem(KEY), 'certificate.password = { env = "SERVER_SECRET" }', "is not encrypted"),
    "a wrong password": (
        key_pem(KEY, PrivateFormat.PKCS8, "another"),
        'certificate.password = { env = "SERVER_SECRET" }',
        "the password is wrong",
    ),
    "a certificate": (pem(LEAF), "", "a private key in PEM"),
    "words": ("a key", "", "a private key in PEM"),
}


@pytest.mark.parametrize("case", KEYS)
def test_a_key_that_cannot_be_read(tmp_path: Path, case: str) -> None:
    key, more, words = KEYS[case]
    assert words in refusal(pem_host(tmp_path, pem(*CHAIN), key, more), SecretError)


def test_a_key_that_others_can_read(tmp_path: Path) -> None:
    found = pem_host(tmp_path, pem(*CHAIN), key_pem(KEY))
    (tmp_path / "server.key").chmod(0o644)
    assert "other users can access the secret file" in refusal(found, SecretError)


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    assert "contains a private key" in refusal(pem_host(tmp_path, pem(LEAF) + key_pem(KEY), key_pem(KEY)))
    assert "no valid PEM certificate" in refusal(pem_host(tmp_path, LEAF.public_bytes(Encoding.DER), key_pem(KEY)))
    assert "larger than" in refusal(pem_host(tmp_path, b"x" * 300000, key_pem(KEY)))
    found = pem_host(tmp_path, pem(*CHAIN), key_pem(KEY))
    (tmp_path / "server.pem").unlink()
    assert "could not read" in refusal(found)


# ---- PFX


def pfx_host(folder: Path, data: bytes) -> WindowsHost:
    (folder / "server.pfx").write_bytes(data)
    return host(folder, 'certificate.pfx = "server.pfx"\ncertificate.password = { env = "SERVER_SECRET" }')


def old_encryption(password: str) -> Any:
    return (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2000)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(password.encode())
    )


@pytest.mark.parametrize("encrypt", [encryption, old_encryption])
@pytest.mark.parametrize("others", [(SECOND.certificate, FIRST.certificate), (ROOT.certificate, FIRST.certificate, SECOND.certificate)])
def test_a_pfx(tmp_path: Path, encrypt: Any, others: Sequence[x509.Certificate]) -> None:
    data = pkcs12.serialize_key_and_certificates(b"name", KEY, LEAF, others, encrypt(SECRET))
    found = read(pfx_host(tmp_path, data))
    assert found.chain == pem(*CHAIN)
    assert found.key == key_pem(KEY)


def test_a_pfx_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "server.pfx").write_bytes(pkcs12.serialize_key_and_certificates(None, KEY, LEAF, CHAIN[1:], NoEncryption()))
    assert read(host(tmp_path, 'certificate.pfx = "server.pfx"')).chain == pem(*CHAIN)


def test_a_pfx_with_an_empty_password(tmp_path: Path) -> None:
    """Azure Key Vault exports one. `cryptography` writes none, so this one is by `openssl pkcs12 -export -passout pass:`."""
    (tmp_path / "server.pfx").write_bytes(Path(__file__).with_name("empty-password.pfx").read_bytes())
    found = read(host(tmp_path, 'certificate.pfx = "server.pfx"'))
    (leaf,) = x509.load_pem_x509_certificates(found.chain.encode())
    assert set(certificate_chain.san_names(leaf)) == set(NAMES)


def test_a_pfx_with_a_password_that_is_not_set(tmp_path: Path) -> None:
    (tmp_path / "server.pfx").write_bytes(pkcs12.serialize_key_and_certificates(None, KEY, LEAF, CHAIN[1:], encryption("another")))
    assert "the file has a password, or this is not a PFX" in refusal(host(tmp_path, 'certificate.pfx = "server.pfx"'), SecretError)


def test_a_pfx_that_cannot_be_used(tmp_path: Path) -> None:
    whole = pkcs12.serialize_key_and_certificates(b"name", KEY, LEAF, CHAIN[1:], encryption("another"))
    assert "the password is wrong" in refusal(pfx_host(tmp_path, whole), SecretError)
    assert "the password is wrong, or this is not a PFX" in refusal(pfx_host(tmp_path, b"PFX"), SecretError)
    no_key = pkcs12.serialize_key_and_certificates(b"name", None, LEAF, CHAIN[1:], encryption(SECRET))
    assert "no private key" in refusal(pfx_host(tmp_path, no_key))
    wildcard = SECOND.sign(KEY.public_key(), [*NAMES, "*.example.com"])
    data = pkcs12.serialize_key_and_certificates(b"name", KEY, wildcard, None, encryption(SECRET))
    assert "wildcard" in refusal(pfx_host(tmp_path, data))


@examples(30)
@given(st.binary(max_size=200))
def test_a_pfx_of_any_bytes_is_refused(tmp_path: Path, data: bytes) -> None:
    refusal(pfx_host(tmp_path, data), NbserverError)


# ---- the inventory


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('certificate.file = "a.pem"', "a certificate file also requires its private key"),
        ('certificate.key = { env = "X" }', "certificate.key requires certificate.file, the certificate that the key belongs to"),
        ('certificate.password = { env = "X" }', "certificate.password requires certificate.file or certificate.pfx"),
        ('certificate.request = true\ncertificate.thumbprint = "00112233445566778899AABBCCDDEEFF00112233"', "at most one of"),
        ('certificate.file = "a.pem"\ncertificate.key = { env = "X" }\ncertificate.request = true', "at most one of"),
        ('certificate.thumbprint = "0011"', "40 hex digits"),
        ('certificate.key = "BEGIN PRIVATE KEY"', "never the secret itself"),
    ],
)
def test_an_inventory_that_says_too_much_or_too_little(tmp_path: Path, lines: str, words: str) -> None:
    (tmp_path / "a.pem").write_text(pem(LEAF))
    with pytest.raises(InventoryError, match=r"nbserver\.toml:[0-9]") as raised:
        host(tmp_path, lines)
    assert words in str(raised.value) and "BEGIN" not in str(raised.value)


def test_where_a_certificate_comes_from(tmp_path: Path) -> None:
    assert host(tmp_path, "").certificate.source == "host"
    assert host(tmp_path, "certificate.request = true").certificate.source == "request"
    assert host(tmp_path, "certificate.request = false").certificate.source == "host"
    found = host(tmp_path, 'certificate.thumbprint = "\u200e00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff 00 11 22 33"').certificate
    assert (found.source, found.thumbprint) == ("store", "00112233445566778899AABBCCDDEEFF00112233")
    assert pem_host(tmp_path, pem(LEAF), key_pem(KEY)).certificate.source == "workstation"


def test_a_reference_to_a_key_replaces_the_one_below_it() -> None:
    below = {"certificate": {"key": {"env": "X"}, "days": 5}}
    assert merging.merge(below, {"certificate": {"key": {"file": "y"}}}) == {"certificate": {"key": {"file": "y"}, "days": 5}}
