"""The certificate of this user's server among those that the user's browsers trust: added by `up --trust`, removed by undo."""

from __future__ import annotations

import ssl
from hashlib import sha256
from typing import TYPE_CHECKING

from nbserver.base.errors import HostError, UsageError
from nbserver.certificate import trust_store
from nbserver.inventory import own_server
from nbserver.inventory.own_server import Trusted

if TYPE_CHECKING:
    from pathlib import Path


def add(fingerprint: str) -> None:
    """Add the certificate of the server, whose fingerprint a run has reported, in place of an earlier one.

    Raises HostError, and UsageError if this cannot be recorded or the program for it is missing.
    """
    before = own_server.trusted()
    store = trust_store.of_this_user()
    path = own_server.certificate()
    der = _der(path)
    if f"SHA256:{sha256(der).hexdigest()}" != fingerprint:
        raise HostError(
            "trust-other-certificate",
            "{path} is not the certificate that the run reported",
            host="local",
            todo="Run nbserver up --trust again",
            path=path,
        )
    if before and before.fingerprint != fingerprint:
        remove()
    own_server.remember_trusted(Trusted(fingerprint, trust_store.sha1_of(der)))  # first: undo must not miss one that was added
    try:
        store.add(path)
    except HostError:
        own_server.remember_trusted(before if before and before.fingerprint == fingerprint else None)
        raise


def renew(fingerprint: str) -> None:
    """Replace the certificate if one was added, and if the server has another now."""
    before = own_server.trusted()
    if before and fingerprint not in ("", before.fingerprint):
        add(fingerprint)


def remove() -> None:
    """Remove the certificate if one was added. Raises HostError and UsageError, and then it is still recorded: it is still trusted."""
    before = own_server.trusted()
    if before:
        trust_store.of_this_user().remove(before.sha1)
        own_server.remember_trusted(None)


def require_possible(scope: str) -> None:
    """Raise UsageError if `up --trust` could not add a certificate, before anything is changed."""
    if scope == "machine":
        raise UsageError(
            "trust-in-machine-scope",
            '--trust requires scope = "user", but this server has scope = "machine"',
            where="local",
            todo="Run the command as your own user, not as root, or without --trust",
        )
    trust_store.of_this_user()


def _der(path: Path) -> bytes:
    """Return the first certificate in a file, or nothing if it has none, or cannot be read."""
    try:
        first, end, _ = path.read_text("ascii").partition("-----END CERTIFICATE-----")
        return ssl.PEM_cert_to_DER_cert(first + end)
    except (OSError, ValueError):
        return b""
