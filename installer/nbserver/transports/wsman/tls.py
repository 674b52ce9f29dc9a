"""Decide which certificate of a WinRM listener to trust: one with a pinned fingerprint, one from a CA file, or one that the system trusts."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from nbserver.base.authority_tls import AuthorityAdapter
from nbserver.base.dialing import Dial, dial_with
from nbserver.base.errors import CertificateError
from nbserver.base.pinned_tls import PinnedAdapter, SystemTrustAdapter

if TYPE_CHECKING:
    import requests
    from requests.adapters import HTTPAdapter

    from nbserver.inventory.windows_host import WindowsHost


def trust(session: requests.Session, host: WindowsHost, dial: Dial | None = None) -> None:
    """Set the session's certificate rule before it sends anything. pypsrp and pywinrm have no option to pin a certificate.

    If `dial` opens the connection, the certificate must be that of the host, too. Raises CertificateError if `ca_file` has none.
    """
    if host.tls:
        session.mount("https://", _adapter(host))
    dial_with(session, dial)


def _adapter(host: WindowsHost) -> HTTPAdapter:
    if host.fingerprint:
        return PinnedAdapter(host.fingerprint)
    if host.authorities is None:
        return SystemTrustAdapter()
    try:
        return AuthorityAdapter(host.authorities)
    except ssl.SSLError:
        raise CertificateError(
            "ca-file-not-pem",
            "{file} contains no PEM certificate",
            host=host.name,
            todo="Set ca_file to a file that contains the CA certificate in PEM format",
            file=host.ca_file,
        ) from None
