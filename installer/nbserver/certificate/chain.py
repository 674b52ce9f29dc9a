"""A server's certificate with its chain: read from PEM, put into order, and held against what a notebook server needs.

Pure: nothing is contacted, the clock is an argument. What does not fit is a ChainFault, in words that hold no secret.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from cryptography import x509

LONGEST = 262144  # bytes of a file with certificates
RSA_BITS = range(2048, 8193)
# Windows' own TLS offers no other curve and no Ed25519 unless it is told to ("TLS Elliptic Curves in Windows 10 version 1607
# and later" on learn.microsoft.com), nor do browsers: P-521 is left out for the same reason.
CURVES = ("secp256r1", "secp384r1")
HASHES = ("sha256", "sha384", "sha512")

T = TypeVar("T")


class ChainFault(Exception):
    """Why a certificate, its chain or its key cannot be used: `what` is wrong, and what `todo` about it."""

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what)
        self.what, self.todo = what, todo


def read_pem(data: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM file, each once, in its order. Raises ChainFault."""
    from cryptography import x509

    if len(data) > LONGEST:
        raise ChainFault(f"it is longer than {LONGEST} bytes", "Name the file with the certificate and its chain")
    if b"PRIVATE KEY-----" in data:
        raise ChainFault("it holds a private key", "Only certificates belong into this file; a key stands in a file of its own")
    try:
        found = x509.load_pem_x509_certificates(data)
    except (ValueError, x509.InvalidVersion):
        raise ChainFault(
            "it holds no certificate in PEM, or one that cannot be read", "Convert it to PEM: openssl x509 -in FILE -inform DER"
        ) from None
    return readable(found)


def readable(found: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Each certificate once. Raises ChainFault where a part of one cannot be read: `cryptography` reads a part when it is asked for."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    for one in found:
        try:
            (
                one.public_key(),
                one.subject,
                one.issuer,
                one.extensions,
                one.not_valid_before_utc,
                one.not_valid_after_utc,
                one.signature_hash_algorithm,
            )
        except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm):
            raise ChainFault("it holds a certificate that cannot be read", "Ask the issuer for another one") from None
    return list(dict.fromkeys(found))


def order(found: Sequence[x509.Certificate], public_key: bytes) -> list[x509.Certificate]:
    """The certificate of `public_key` (its SubjectPublicKeyInfo in DER), then each one's issuer; a root is left out.

    Raises ChainFault where no certificate has this key, where two have, or where one is no part of the chain.
    """
    leaves = [one for one in found if spki(one.public_key()) == public_key]
    if not leaves:
        raise ChainFault("no certificate in it belongs to the key", "Take the certificate that was made for this very key")
    if len(leaves) > 1:
        raise ChainFault(f"it holds {len(leaves)} certificates for the key", "Leave in only the one that is to be served")
    chain, rest = leaves, [one for one in found if one is not leaves[0]]
    while issuer := next((one for one in rest if _issued(chain[-1], one)), None):
        chain.append(issuer)
        rest.remove(issuer)
    if rest:
        raise ChainFault(
            f"it holds a certificate that is no part of the chain: {_subject(rest[0])}",
            "Leave in the server's certificate and the authorities between it and its root",
        )
    return chain[:-1] if len(chain) > 1 and _issued(chain[-1], chain[-1]) else chain


def check(chain: Sequence[x509.Certificate], names: Sequence[str], now: datetime) -> None:
    """Raises ChainFault unless the chain may serve a host with these names (lower-case DNS names and IP addresses) at `now`."""
    leaf, *authorities = chain
    for one in chain:
        _check_dates(one, now)
        _check_signature(one)
    for one in authorities:
        if not _is_authority(one):
            raise ChainFault(f"{_subject(one)} issued a certificate of the chain and is no authority", "Ask the issuer for the right chain")
    check_key_type(leaf.public_key())
    check_names(san_names(leaf), names)
    _check_purpose(leaf)


def check_key_type(key: object) -> None:
    """Raises ChainFault for a key, private or public, that Windows or a browser cannot use in TLS."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    allowed = "Use an RSA key of 2048 bits or more, or an EC key on P-256 or P-384"
    if isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
        if key.key_size not in RSA_BITS:
            raise ChainFault(f"its RSA key has {key.key_size} bits, {RSA_BITS.start} to {RSA_BITS.stop - 1} are allowed", allowed)
    elif isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        if key.curve.name not in CURVES:
            raise ChainFault(f"its EC key is on {key.curve.name}, which Windows or browsers do not take", allowed)
    else:
        raise ChainFault("its key is neither RSA nor EC, and Windows or browsers do not take it", allowed)


def check_names(shown: Sequence[str], names: Sequence[str]) -> None:
    """Raises ChainFault where `shown` (a certificate's SANs) has a wildcard or lacks one of a host's `names`."""
    wildcards = [name for name in shown if "*" in name]
    if wildcards:
        raise ChainFault(
            f"it is for the wildcard name {wildcards[0]}, which is refused: notebooks run as the server's own account and can read its key, "
            "so whoever may use a notebook could pass for every host of that name",
            "Use a certificate for this host's own names",
        )
    missing = [name for name in names if name not in shown]
    if missing:
        raise ChainFault(
            f"its subject alternative names lack {', '.join(missing)} (it has: {', '.join(shown) or 'none'})",
            "Have it made for the host's address, the host of notebook.public_url and certificate.names",
        )


def san_names(certificate: x509.Certificate | x509.CertificateSigningRequest) -> list[str]:
    """Its DNS names in lower case and its IP addresses, as render.subject_alternative_names writes them."""
    from cryptography import x509

    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return []
    try:
        addresses = [str(ipaddress.ip_address(str(address))) for address in names.get_values_for_type(x509.IPAddress)]
    except ValueError:  # a network: eight bytes, or thirty-two
        raise ChainFault("one of its names is neither a DNS name nor an address", "Ask the issuer for another one") from None
    return [*(name.lower() for name in names.get_values_for_type(x509.DNSName)), *addresses]


def spki(key: object) -> bytes:
    """A public key's SubjectPublicKeyInfo, in DER."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public_bytes: Callable[[Encoding, PublicFormat], bytes] = key.public_bytes  # type: ignore[attr-defined]
    return public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def to_pem(chain: Sequence[x509.Certificate]) -> str:
    """The chain as it is sent and served."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in chain)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_dates(certificate: x509.Certificate, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends <= now:
        raise ChainFault(f"{_subject(certificate)} ended on {ends:%Y-%m-%d %H:%M} UTC", "Have it renewed")
    if begins > now:
        raise ChainFault(
            f"{_subject(certificate)} is not valid before {begins:%Y-%m-%d %H:%M} UTC", "Wait until then, or look at this machine's clock"
        )


def _check_signature(certificate: x509.Certificate) -> None:
    algorithm = certificate.signature_hash_algorithm
    name = algorithm.name if algorithm else "an algorithm that Windows or browsers do not take"
    if name not in HASHES:
        raise ChainFault(
            f"{_subject(certificate)} is signed with {name}", "Have it signed with SHA-256, SHA-384 or SHA-512 and an RSA or EC key"
        )


def _check_purpose(leaf: x509.Certificate) -> None:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if _is_authority(leaf):
        raise ChainFault(
            "it is the certificate of an authority: notebooks can read the server's key, and could issue certificates with it",
            "Use a certificate that is for a server only (CA:FALSE)",
        )
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is not None and not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        raise ChainFault("its extended key usage is not for a server", "Have it made with serverAuth")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise ChainFault("its key usage lacks digitalSignature, which TLS 1.2 and 1.3 need", "Have it made with digitalSignature")


def _is_authority(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _extension(certificate: x509.Certificate | x509.CertificateSigningRequest, kind: type[T]) -> T | None:
    """The value of an extension; None where there is none. Raises ChainFault where it cannot be read."""
    from cryptography import x509

    try:
        return next((one.value for one in certificate.extensions if isinstance(one.value, kind)), None)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise ChainFault("one of its extensions cannot be read", "Ask the issuer for another one") from None


def _subject(certificate: x509.Certificate) -> str:
    """Its subject, in ASCII and short, for a message."""
    return ascii(certificate.subject.rfc4514_string() or "without a subject")[1:-1][:200]
