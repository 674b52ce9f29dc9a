"""The certificate of a mirror that nbserver serves itself, and the authority that the hosts must trust.

The authority signs this one certificate, and its key is never written: it cannot sign anything else.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbserver.base import atomic_file
from nbserver.base.errors import OutputError
from nbserver.certificate import chain

if TYPE_CHECKING:
    from cryptography import x509

AUTHORITY, SERVER = "authority.pem", "server.pem"
_DAYS = 397
_LEFT = datetime.timedelta(days=7)


def require(folder: Path, names: Sequence[str], now: datetime.datetime) -> tuple[Path, Path]:
    """Return the files of the authority's certificate, and of the server's key and certificate, both in PEM.

    They are created if the folder does not have them, if they expire within a week, or if they lack one of the names.
    Raises OutputError if they cannot be written.
    """
    authority, server = folder / AUTHORITY, folder / SERVER
    if not _suits(authority, server, names, now):
        certificate, chain_and_key = _created(names, now)
        try:
            folder.mkdir(0o700, parents=True, exist_ok=True)
            atomic_file.write_bytes(server, chain_and_key, mode=0o600)
            atomic_file.write_bytes(authority, certificate)
        except OSError as error:
            raise OutputError(
                "mirror-certificate-not-written",
                "could not write the certificate of the mirror ({reason})",
                where=str(folder),
                todo="Make the folder writable, or use your own certificate with --certificate and --key",
                reason=error.strerror or type(error).__name__,
            ) from None
    return authority, server


def _suits(authority: Path, server: Path, names: Sequence[str], now: datetime.datetime) -> bool:
    try:
        leaf, issuer = chain.read_pem(server.read_bytes().partition(b"-----BEGIN PRIVATE KEY")[0])
        (own,) = chain.read_pem(authority.read_bytes())
    except (OSError, ValueError, chain.ChainFault):
        return False
    return own == issuer and leaf.not_valid_after_utc > now + _LEFT and {*names} <= {*chain.san_names(leaf)}


def _created(names: Sequence[str], now: datetime.datetime) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID

    above, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _signed(
        f"nbserver mirror authority of {names[0]}",
        None,
        above,
        above,
        now,
        [(x509.BasicConstraints(True, 0), True), (_usage(signs=True), True)],
    )
    leaf = _signed(
        f"nbserver mirror {names[0]}",
        authority,
        key,
        above,
        now,
        [
            (x509.BasicConstraints(False, None), True),
            (_usage(signs=False), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName([_san(name) for name in names]), False),
        ],
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    both = leaf.public_bytes(Encoding.PEM) + authority.public_bytes(Encoding.PEM)
    return authority.public_bytes(Encoding.PEM), both + pem


def _signed(
    name: str, issuer: x509.Certificate | None, key: Any, by: Any, now: datetime.datetime, extensions: Sequence[tuple[Any, bool]]
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # the clocks of the hosts differ
        .not_valid_after(now + datetime.timedelta(days=_DAYS - 1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(by, hashes.SHA256())


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)


def _san(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
