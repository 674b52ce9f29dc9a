"""Decide which certificate of a WinRM listener to trust: one with a pinned fingerprint, one from a CA file, or one that the system trusts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbserver.base.dialing import Dial, dial_with
from nbserver.base.pinned_tls import PinnedAdapter, SystemTrustAdapter

if TYPE_CHECKING:
    import requests

    from nbserver.inventory.windows_host import WindowsHost


def trust(session: requests.Session, host: WindowsHost, dial: Dial | None = None) -> None:
    """Set the session's certificate rule before it sends anything. pypsrp and pywinrm have no option to pin a certificate.

    A CA file needs no rule: both pass it to requests. If `dial` opens the connection, the certificate must be that of the host, too.
    """
    if host.tls and not host.ca_file:
        session.mount("https://", PinnedAdapter(host.fingerprint) if host.fingerprint else SystemTrustAdapter())
    dial_with(session, dial)
