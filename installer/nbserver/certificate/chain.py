"""The certificate of a server with its chain: read from PEM, sorted, and checked for use by a notebook server.

Pure functions: nothing is contacted, the time is an argument. An error is a ChainFault, whose message contains no secret.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from nbserver.base.message import Described, Given, Portable, checked, fill
from nbserver.certificate import certificate_file, paths

if TYPE_CHECKING:
    from cryptography import x509

AS_DNS = "DNS:"  # the prefix of an IP address that is a DNS name in a certificate
LONGEST = 262144  # maximum size of a certificate file in bytes
RSA_BITS = range(2048, 8193)
# By default, the TLS of Windows supports no other curve and no Ed25519 ("TLS Elliptic Curves in Windows 10 version 1607
# and later" on learn.microsoft.com), nor do browsers. P-521 is excluded for the same reason.
CURVES = ("secp256r1", "secp384r1")
_ALLOWED_KEYS = "Use an RSA key of 2048 bits or more, or an EC key on P-256 or P-384"
_EC_KEY = bytes.fromhex("06072a8648ce3d0201")  # the object identifier ecPublicKey in DER; that of the curve follows
HASHES = ("sha256", "sha384", "sha512")

T = TypeVar("T")


class ChainFault(Described, Portable, Exception):
    """Why a certificate, its chain or its key cannot be used. `remedy` is the template of what to do."""

    def __init__(self, code: str, template: str, /, *, todo: str = "", **values: Given) -> None:
        self.code, self.template, self.remedy = code, template, todo
        self.values = checked(code, (template, todo), values)
        super().__init__(fill(template, self.values))


def read_pem(data: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, each once, in the order of the file. Raises ChainFault.

    PKCS#7 (.p7b), in PEM or DER, and PEM in UTF-16 are read as well: Windows writes them.
    """
    if len(data) > LONGEST:
        raise ChainFault(
            "certificate-file-too-large",
            "the file is larger than {limit} bytes",
            todo="Specify the file that contains the certificate and its chain",
            limit=LONGEST,
        )
    data = certificate_file.as_utf_8(data)
    if b"PRIVATE KEY-----" in data:
        raise ChainFault("certificate-file-with-key", "the file contains a private key", todo="Move the key to a separate file")
    found = certificate_file.certificates(data)
    if not found:
        raise ChainFault(
            "certificate-not-pem",
            "the file contains no valid PEM certificate",
            todo="If the certificate is in DER format, convert it with: openssl x509 -inform DER -in FILE -out FILE.pem",
        )
    return readable(found)


def readable(found: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Return each certificate once. Raises ChainFault if a part of one is not valid: `cryptography` only parses a part on access."""
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
        except (
            ValueError,
            TypeError,
            KeyError,
            x509.InvalidVersion,
            x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType,
            UnsupportedAlgorithm,
        ):
            raise ChainFault(
                "certificate-not-valid", "the file contains an invalid certificate", todo="Ask the issuer for a new certificate"
            ) from None
    return list(dict.fromkeys(found))


def order(found: Sequence[x509.Certificate], public_key: bytes, now: datetime | None = None) -> list[x509.Certificate]:
    """The certificate of `public_key` (its SubjectPublicKeyInfo in DER), then each one's issuer; a root is left out.

    If authorities are cross-signed, there are several chains: the longest of those that are valid at `now` is returned.
    Raises ChainFault if no certificate has this key, if two have it, or if one is not part of the chain.
    """
    leaves = [one for one in found if spki(one.public_key()) == public_key]
    if not leaves:
        raise ChainFault(
            "certificate-for-other-key",
            "no certificate in the file matches the private key",
            todo="Use the certificate that was issued for this key",
        )
    if len(leaves) > 1:
        raise ChainFault(
            "certificate-key-twice",
            "the file contains {count} certificates for the same private key",
            todo="Keep only the certificate that the server should use",
            count=len(leaves),
        )
    issuers = {one: [other for other in found if other is not one and _issued(one, other)] for one in found}
    above = paths.reachable(leaves[0], issuers)
    rest = [one for one in found if one not in above]
    if rest:
        raise ChainFault(
            "certificate-not-in-chain",
            "the file contains a certificate that is not part of the chain: {subject}",
            todo="Keep only the server's certificate and its intermediate certificates",
            subject=_subject(rest[0]),
        )
    return paths.best(leaves[0], issuers, is_root=lambda one: _issued(one, one), now=now or datetime.now(UTC))


def check(chain: Sequence[x509.Certificate], names: Sequence[str], now: datetime) -> None:
    """Raise ChainFault unless the chain is valid at `now` for a host with these names (lower-case DNS names and IP addresses)."""
    leaf, *authorities = chain
    for one in chain:
        _check_dates(one, now)
        _check_signature(one)
        _check_curve(one)
    for one in authorities:
        if not _is_authority(one):
            raise ChainFault(
                "issuer-not-authority",
                "the certificate {subject} was used to issue another certificate in the chain, but is not a CA certificate",
                todo="Ask the issuer for the correct chain",
                subject=_subject(one),
            )
    check_key_type(leaf.public_key())
    check_names(san_names(leaf), names)
    _check_purpose(leaf)


def check_key_type(key: object) -> None:
    """Raise ChainFault for a key, private or public, that Windows or a browser does not support in TLS."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
        if key.key_size not in RSA_BITS:
            raise ChainFault(
                "rsa-key-size",
                "the RSA key has {bits} bits, expected {lowest} to {highest}",
                todo=_ALLOWED_KEYS,
                bits=key.key_size,
                lowest=RSA_BITS.start,
                highest=RSA_BITS.stop - 1,
            )
    elif isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        if key.curve.name not in CURVES:
            raise ChainFault(
                "ec-key-curve",
                "the EC key uses the curve {curve}, which Windows or browsers do not support",
                todo=_ALLOWED_KEYS,
                curve=key.curve.name,
            )
    else:
        raise ChainFault(
            "key-kind",
            "the key is neither an RSA key nor an EC key, the only types that both Windows and browsers support",
            todo=_ALLOWED_KEYS,
        )


def check_names(shown: Sequence[str], names: Sequence[str]) -> None:
    """Raise ChainFault if `shown` (the SANs of a certificate) has a wildcard or lacks one of the `names` of a host."""
    wildcards = [name for name in shown if "*" in name]
    if wildcards:
        raise ChainFault(
            "certificate-wildcard",
            "the certificate has the wildcard name {name}: anyone who can use a notebook could read the private "
            "key and impersonate every host that matches this name",
            todo="Use a certificate for the names of this host only",
            name=wildcards[0],
        )
    missing = [name for name in names if name not in shown]
    as_dns = [name for name in missing if f"{AS_DNS}{name}" in shown]
    if as_dns:
        raise ChainFault(
            "certificate-address-as-name",
            "the certificate lists the IP address {address} as a DNS name, which browsers do not accept",
            todo="Have the certificate reissued with subjectAltName = IP:{address} instead of DNS:{address}",
            address=as_dns[0],
        )
    if missing:
        raise ChainFault(
            "certificate-names-missing",
            "the subject alternative names do not include {missing} (found: {found})",
            todo="Have the certificate reissued for the host's address, the host in notebook.public_url, and the names in certificate.names",
            missing=", ".join(missing),
            found=", ".join(shown) or None,
        )


def san_names(certificate: x509.Certificate | x509.CertificateSigningRequest) -> list[str]:
    """Return its DNS names in lower case and its IP addresses, in the format of subject_alternative_names.

    An IP address that is a DNS name in the certificate is returned with the prefix `DNS:`. It is not valid for this address.
    """
    from cryptography import x509

    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return []
    try:
        addresses = [str(ipaddress.ip_address(str(address))) for address in names.get_values_for_type(x509.IPAddress)]
    except ValueError:  # a network: eight bytes, or thirty-two
        raise ChainFault(
            "certificate-name-not-host",
            "the certificate has a name that is neither a DNS name nor an IP address",
            todo="Ask the issuer for a new certificate",
        ) from None
    return [*map(_dns_name, names.get_values_for_type(x509.DNSName)), *addresses]


def _dns_name(name: str) -> str:
    try:
        return f"{AS_DNS}{ipaddress.ip_address(name)}"
    except ValueError:
        return name.lower()


def spki(key: object) -> bytes:
    """Return the SubjectPublicKeyInfo of a public key, in DER."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public_bytes: Callable[[Encoding, PublicFormat], bytes] = key.public_bytes  # type: ignore[attr-defined]
    return public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def to_pem(chain: Sequence[x509.Certificate]) -> str:
    """Return the chain in PEM, as it is sent and served."""
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
        raise ChainFault(
            "certificate-expired",
            "the certificate {subject} expired on {time} UTC",
            todo="Renew the certificate, then specify the new one",
            subject=_subject(certificate),
            time=f"{ends:%Y-%m-%d %H:%M}",
        )
    if begins > now:
        raise ChainFault(
            "certificate-not-yet-valid",
            "the certificate {subject} is not valid until {time} UTC",
            todo="Check the workstation's clock, or wait until the certificate becomes valid",
            subject=_subject(certificate),
            time=f"{begins:%Y-%m-%d %H:%M}",
        )


def _check_signature(certificate: x509.Certificate) -> None:
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        raise ChainFault(
            "certificate-signature-unknown",
            "the certificate {subject} is signed with an algorithm that Windows or browsers do not support",
            todo="Have the certificate signed with SHA-256, SHA-384, or SHA-512 and an RSA or EC key",
            subject=_subject(certificate),
        )
    if algorithm.name not in HASHES:
        raise ChainFault(
            "certificate-signature",
            "the certificate {subject} is signed with {algorithm}, which Windows or browsers do not support",
            todo="Have the certificate signed with SHA-256, SHA-384, or SHA-512 and an RSA or EC key",
            subject=_subject(certificate),
            algorithm=algorithm.name,
        )


def _check_curve(certificate: x509.Certificate) -> None:
    """Refuse an EC key whose curve is written out: `cryptography` reads it as the named curve, but no browser does."""
    key = spki(certificate.public_key())
    start = key.find(_EC_KEY)
    if start < 0:
        return
    name = start + len(_EC_KEY)
    if key[start : name + 2 + key[name + 1]] not in certificate.tbs_certificate_bytes:
        raise ChainFault(
            "ec-key-explicit",
            "the certificate {subject} has an EC key with explicit curve parameters, which Windows and browsers do not support",
            todo="Create a key with openssl ecparam -name prime256v1 -param_enc named_curve -genkey, and have a certificate issued for it",
            subject=_subject(certificate),
        )


def _check_purpose(leaf: x509.Certificate) -> None:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if _is_authority(leaf):
        raise ChainFault(
            "certificate-is-authority",
            "the server's certificate is a CA certificate: notebooks can read the server's key and could use it to issue certificates",
            todo="Use a server certificate (CA:FALSE)",
        )
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is not None and not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        raise ChainFault(
            "certificate-not-for-servers",
            "the certificate's extended key usage does not include server authentication",
            todo="Have the certificate reissued with serverAuth",
        )
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise ChainFault(
            "certificate-without-digital-signature",
            "the certificate's key usage does not include digitalSignature, which TLS 1.2 and 1.3 require",
            todo="Have the certificate reissued with digitalSignature",
        )


def _is_authority(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _extension(certificate: x509.Certificate | x509.CertificateSigningRequest, kind: type[T]) -> T | None:
    """Return the value of an extension, or None if it is missing. Raises ChainFault if it is not valid."""
    from cryptography import x509

    try:
        return next((one.value for one in certificate.extensions if isinstance(one.value, kind)), None)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise ChainFault(
            "certificate-extension-invalid",
            "the certificate has an invalid extension",
            todo="Ask the issuer for a new certificate",
        ) from None


def _subject(certificate: x509.Certificate) -> str:
    """Return its subject for a message: ASCII, shortened."""
    return ascii(certificate.subject.rfc4514_string() or "without a subject")[1:-1][:200]
