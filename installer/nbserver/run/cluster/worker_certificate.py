"""The certificate of a worker: it signs the request for a host with its TLS key, and the workstation checks who asks.

Every certificate of a cluster is from the same authority. Those of workers have an organizational unit, which those of the
scheduler and of clients lack.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

UNIT = "nbserver-worker"
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)


class NotAWorkerError(Exception):
    """Whoever asks has not proved to be a worker."""


def pem(value: str) -> bytes:
    """Return the content of a file that Dask's configuration names. The configuration may also have the content itself."""
    return value.encode() if "\n" in value else Path(value).read_bytes()


def sign(key_pem: bytes, data: bytes) -> bytes:
    """Return the signature of a worker. Raises ValueError and TypeError for a key that cannot sign."""
    key = load_pem_private_key(key_pem, None)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, _PSS, hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    raise TypeError("the key must be RSA, EC, or Ed25519")


def check(certificate_pem: bytes, data: bytes, signature: bytes, authorities_pem: bytes, now: datetime | None = None) -> str:
    """Return the subject of the worker that has signed `data`. Raises NotAWorkerError."""
    subject = check_certificate(certificate_pem, authorities_pem, now)
    try:
        _verify(x509.load_pem_x509_certificate(certificate_pem).public_key(), data, signature)
    except (ValueError, TypeError, InvalidSignature):
        raise NotAWorkerError("the signature is not valid") from None
    return subject


def check_certificate(certificate_pem: bytes, authorities_pem: bytes, now: datetime | None = None) -> str:
    """Return the subject of a worker's certificate. Raises NotAWorkerError for another one."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        issuers = [one for one in x509.load_pem_x509_certificates(authorities_pem) if _issued(certificate, one)]
        units = [one.value for one in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
    except ValueError:
        raise NotAWorkerError("the certificate is not valid") from None
    if not issuers:
        raise NotAWorkerError("no authority of the cluster has issued the certificate")
    moment = now or datetime.now(UTC)
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        raise NotAWorkerError("the certificate is not valid now")
    if UNIT not in units:
        raise NotAWorkerError(f"the certificate lacks the organizational unit {UNIT}")
    return certificate.subject.rfc4514_string()


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _verify(key: Any, data: bytes, signature: bytes) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, _PSS, hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, data)
    else:
        raise TypeError("the key must be RSA, EC, or Ed25519")
