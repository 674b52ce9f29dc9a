"""An authority for tests: a root, an intermediate, and what they sign. Real certificates, made by `cryptography`."""

from __future__ import annotations

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


def root(subject: str = "root") -> Signer:
    key = ec_key()
    return Signer(self_signed(key, subject=subject), key)


def intermediate(above: Signer, subject: str = "intermediate", **options: Any) -> Signer:
    key = ec_key()
    return Signer(above.sign(key.public_key(), subject=subject, ca=True, **options), key)


def pem(*certificates: x509.Certificate) -> str:
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def key_pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, password: str | None = None) -> str:
    encryption: KeySerializationEncryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    text: bytes = key.private_bytes(Encoding.PEM, form, encryption)
    return text.decode()


def encryption(password: str) -> KeySerializationEncryption:
    return BestAvailableEncryption(password.encode())
