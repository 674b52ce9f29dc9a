"""Which certificate a WinRM listener may show: one pinned fingerprint, a CA file, or what the system trusts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbserver.base.pinned_tls import PinnedAdapter, SystemTrustAdapter

if TYPE_CHECKING:
    import requests

    from nbserver.inventory.windows_host import WindowsHost


def trust(session: requests.Session, host: WindowsHost) -> None:
    """Gives a session its rule for certificates, before it sends anything. pypsrp and pywinrm have no option for a pin.

    A CA file needs nothing more: both hand it to requests.
    """
    if host.tls and not host.ca_file:
        session.mount("https://", PinnedAdapter(host.fingerprint) if host.fingerprint else SystemTrustAdapter())
