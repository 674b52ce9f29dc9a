"""An authority for tests: a root, an intermediate, and what they sign. Real certificates, made by `cryptography`."""

from __future__ import annotations

import base64
import datetime
import functools
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """One of each size a run: they take long to make."""
    return rsa.generate_private_key(65537, bits)


@dataclass(frozen=True)
class Signer:
    certificate: x509.Certificate
    key: Any

    def sign(
        self,
        public_key: Any,
        names: Sequence[str] = (),
        *,
        subject: str = "server",
        begins: datetime.datetime = NOW - DAY,
        ends: datetime.datetime = NOW + 90 * DAY,
        algorithm: Any = None,
        ca: bool = False,
        purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
    ) -> x509.Certificate:
        """A certificate for `public_key`, by this signer."""
        return _build(subject, self.certificate.subject, public_key, names, begins, ends, ca, purposes).sign(
            self.key, algorithm or hashes.SHA256()
        )

    def answer(self, csr: x509.CertificateSigningRequest, **options: Any) -> x509.Certificate:
        """What an authority makes of a request: its key and its names."""
        found = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(name.value) for name in found]
        return self.sign(csr.public_key(), names, **options)


def _build(
    subject: str,
    issuer: x509.Name,
    public_key: Any,
    names: Sequence[str],
    begins: datetime.datetime,
    ends: datetime.datetime,
    ca: bool,
    purposes: Any,
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([san(name) for name in names]), critical=False)
    return builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False) if purposes and not ca else builder


def san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.IPAddress(ipaddress.ip_network(name)) if "/" in name else x509.DNSName(name)


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def self_signed(key: Any, names: Sequence[str] = (), *, subject: str = "root", ca: bool = True, algorithm: Any = None) -> x509.Certificate:
    builder = _build(subject, named(subject), key.public_key(), names, NOW - DAY, NOW + 365 * DAY, ca, (ExtendedKeyUsageOID.SERVER_AUTH,))
    return builder.sign(key, algorithm or hashes.SHA256())


def _der(tag: int, value: bytes) -> bytes:
    """An element of DER."""
    size = len(value)
    length = bytes([size]) if size < 128 else bytes([128 + (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag]) + length + value


def root(subject: str = "root") -> Signer:
    key = ec_key()
    return Signer(self_signed(key, subject=subject), key)


def intermediate(above: Signer, subject: str = "intermediate", **options: Any) -> Signer:
    key = ec_key()
    return Signer(above.sign(key.public_key(), subject=subject, ca=True, **options), key)


# P-256 as `openssl ecparam -name prime256v1 -param_enc explicit` writes it, and the name that stands for it.
_EC_KEY = "06072a8648ce3d0201"
_EXPLICIT_P256 = bytes.fromhex(
    "3081f7020101302c06072a8648ce3d0101022100ffffffff00000001000000000000000000000000ffffffffffffffffffff"
    "ffff305b0420ffffffff00000001000000000000000000000000fffffffffffffffffffffffc04205ac635d8aa3a93e7b3eb"
    "bd55769886bc651d06b0cc53b0f63bce3c3e27d2604b031500c49d360886e704936a6678e1139d26b7819f7e900441046b17"
    "d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce3357"
    "6b315ececbb6406837bf51f5022100ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551020101"
)
_NAMED = _der(0x30, bytes.fromhex(_EC_KEY + "06082a8648ce3d030107"))
_EXPLICIT = _der(0x30, bytes.fromhex(_EC_KEY) + _EXPLICIT_P256)


def explicit_curve(names: Sequence[str]) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate by a root, with the curve of its key written out, and its key. `cryptography` does not write such ones."""
    above, key = root(), ec_key()
    made = above.sign(key.public_key(), names).tbs_certificate_bytes
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    tbs = _der(0x30, made[4:].replace(spki, _der(0x30, spki[2:].replace(_NAMED, _EXPLICIT))))
    signature = above.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    return x509.load_der_x509_certificate(_der(0x30, tbs + algorithm + _der(3, b"\0" + signature))), key


def explicit_key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """The key with its curve written out, in PKCS#8."""
    found = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    text = base64.encodebytes(_der(0x30, found[3:].replace(_NAMED, _EXPLICIT))).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}-----END PRIVATE KEY-----\n"


def pem(*certificates: x509.Certificate) -> str:
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def key_pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, password: str | None = None) -> str:
    encryption: KeySerializationEncryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    text: bytes = key.private_bytes(Encoding.PEM, form, encryption)
    return text.decode()


def encryption(password: str) -> KeySerializationEncryption:
    return BestAvailableEncryption(password.encode())
