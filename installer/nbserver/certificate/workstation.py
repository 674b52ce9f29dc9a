"""A certificate that comes from the workstation: certificate.file with certificate.key, or certificate.pfx.

Both are read and checked before any host is contacted. They are only sent in the envelope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import InventoryError, SecretError
from nbserver.certificate import chain as certificate_chain
from nbserver.certificate.chain import LONGEST, ChainFault
from nbserver.certificate.names import subject_alternative_names
from nbserver.settings.secret_store import Need, SecretStore

if TYPE_CHECKING:
    from cryptography import x509

    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.settings.secret import SecretReference


@dataclass(frozen=True)
class ServerCertificate:
    """`chain` is PEM and begins with the certificate of the server; `key` is PEM, PKCS#8, unencrypted, and not in repr."""

    chain: str
    key: str = field(repr=False)


def references(host: WindowsHost) -> dict[str, SecretReference]:
    """Return the references that `read` resolves, by their key in the table `certificate`."""
    found = {"password": host.certificate.password, "key": host.certificate.key if host.certificate.pfx is None else None}
    return {name: reference for name, reference in found.items() if reference is not None}


def read(host: WindowsHost, secrets: SecretStore, now: datetime | None = None) -> ServerCertificate:
    """Return the certificate and key of a host whose certificate.source is "workstation".

    Raises InventoryError for an invalid file, SecretError for a key or password that is missing or does not match.
    """
    settings, now = host.certificate, now or datetime.now(UTC)
    password = secrets.get(Need(settings.password, "certificate.password", host.name)) if settings.password else None
    if settings.pfx is not None:
        setting, path = "certificate.pfx", settings.pfx
        key, found = _read_pfx(host, path, password)
    else:
        assert settings.file is not None and settings.key is not None, "checked by contradictions()"
        setting, path = "certificate.file", settings.file
        key = _read_key(host, secrets.get(Need(settings.key, "certificate.key", host.name)), password)
        with _naming(host, setting, path):
            found = certificate_chain.read_pem(_bytes(host, setting, path))
    with _naming(host, setting, path):
        certificate_chain.check_key_type(key)
        chain = certificate_chain.order(certificate_chain.readable(found), certificate_chain.spki(key.public_key()), now)  # type: ignore[attr-defined]
        certificate_chain.check(chain, subject_alternative_names(host), now)
    return ServerCertificate(certificate_chain.to_pem(chain), _pkcs8(key))


def _read_key(host: WindowsHost, pem: str, password: str | None) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    encrypted = "ENCRYPTED" in pem
    if encrypted and password is None:
        raise SecretError("key-encrypted", "certificate.key: the key is encrypted", where=host.name, todo="Set certificate.password")
    if password is not None and not encrypted:
        raise SecretError(
            "key-not-encrypted", "certificate.key: the key is not encrypted", where=host.name, todo="Remove certificate.password"
        )
    try:
        return load_pem_private_key(pem.encode("utf-8"), password.encode("utf-8") if password is not None else None)
    except UnsupportedAlgorithm:
        raise SecretError(
            "key-unsupported",
            "certificate.key: the key type or encryption is not supported",
            where=host.name,
            todo="Use an RSA key, or an EC key on P-256 or P-384. To change only the encryption, run openssl pkcs8 -topk8 -v2 "
            "aes256 -in KEY -out NEW-KEY, then set certificate.key and certificate.password",
        ) from None
    except (ValueError, TypeError):
        if encrypted:
            raise SecretError(
                "key-or-password-wrong",
                "certificate.key: the password is wrong, or this is not a private key in PEM format",
                where=host.name,
                todo="Use a PKCS#8, PKCS#1, or SEC1 key, including the BEGIN and END lines",
            ) from None
        raise SecretError(
            "key-not-pem",
            "certificate.key: must be a private key in PEM format",
            where=host.name,
            todo="Use a PKCS#8, PKCS#1, or SEC1 key, including the BEGIN and END lines",
        ) from None


def _read_pfx(host: WindowsHost, path: Path, password: str | None) -> tuple[object, list[x509.Certificate]]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    data = _bytes(host, "certificate.pfx", path)
    where = f"{host.name}, certificate.pfx {path}"
    try:
        pfx = load_pkcs12(data, password.encode("utf-8") if password is not None else None)
    except UnsupportedAlgorithm:
        raise InventoryError(
            "pfx-encryption-unsupported",
            "the file's encryption is not supported",
            where=where,
            todo="Export the file again with AES-256 and SHA-256",
        ) from None
    except ValueError:
        if password is None:
            raise SecretError(
                "pfx-with-password",
                "the file has a password, or this is not a PFX (PKCS#12) file",
                where=where,
                todo="Set certificate.password, or set certificate.pfx to a PFX file",
            ) from None
        raise SecretError(
            "pfx-or-password-wrong",
            "the password is wrong, or this is not a PFX (PKCS#12) file",
            where=where,
            todo="Check certificate.password, and that certificate.pfx is a PFX file",
        ) from None
    if pfx.key is None:
        raise InventoryError(
            "pfx-without-key",
            "the file contains no private key",
            where=where,
            todo="Export the certificate again together with its private key",
        )
    return pfx.key, [one.certificate for one in ([pfx.cert] if pfx.cert else []) + list(pfx.additional_certs)]


def _pkcs8(key: object) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private_bytes: Callable[..., bytes] = key.private_bytes  # type: ignore[attr-defined]
    return private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def _bytes(host: WindowsHost, setting: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise InventoryError(
            "certificate-file-unreadable",
            "{setting}: could not read {path} ({reason})",
            where=host.name,
            todo="Check that the file exists and that you can read it",
            setting=setting,
            path=path,
            reason=error.strerror,
        ) from None
    if len(data) > LONGEST:
        raise InventoryError(
            "certificate-setting-too-large",
            "{setting}: {path} is larger than {limit} bytes",
            where=host.name,
            todo="Set {setting} to the path of a certificate or key file",
            setting=setting,
            path=path,
            limit=LONGEST,
        )
    return data


@contextmanager
def _naming(host: WindowsHost, setting: str, path: Path) -> Iterator[None]:
    """Turn a ChainFault into an InventoryError that names the host, the setting and the file."""
    try:
        yield
    except ChainFault as fault:
        raise InventoryError.of(fault, where=f"{host.name}, {setting} {path}") from None
