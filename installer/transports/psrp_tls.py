"""Which certificate a WinRM listener may show: one pinned fingerprint, a CA file, or what the system trusts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from installer.pinned_tls import PinnedAdapter, SystemTrustAdapter

if TYPE_CHECKING:
    from installer.host_settings import Host


def trust(wsman: Any, host: Host) -> None:
    """Gives the connection its rule for certificates. pypsrp 0.9 has no option for a pin, hence its session is prepared here.

    A CA file needs nothing more: pypsrp hands it to requests.
    """
    if not host.tls or host.ca_file:
        return
    build = wsman.transport._build_session

    def build_session() -> Any:
        session = build()
        session.mount("https://", PinnedAdapter(host.fingerprint) if host.fingerprint else SystemTrustAdapter())
        return session

    wsman.transport._build_session = build_session
