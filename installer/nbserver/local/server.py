"""The notebook server of this machine: whether it runs, and ending it. Starting it is the script's work."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nbserver.inventory.by_kind import LocalByKind
from nbserver.local.places import url

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyLocal
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost

ANSWER_SECONDS = 10.0


class LocalService(Protocol):
    """The server of this machine, as its system keeps it. `by` is systemd, background, or none where nothing is set up."""

    certificate: Path

    @property
    def by(self) -> str: ...

    def since(self) -> float:
        """When it was started, in seconds of the epoch; 0 where it does not run."""
        ...

    def stop(self) -> bool:
        """Ends it; whether there was something to end. Raises HostError."""
        ...


def _windows(host: LocalWindowsHost) -> LocalService:
    from nbserver.local.windows_service import WindowsService

    return WindowsService(host)


def _linux(host: LocalLinuxHost) -> LocalService:
    from nbserver.local.linux_service import LinuxService

    return LinuxService(host)


# Raises UsageError where the system has commands of its own for it.
service_of = LocalByKind(windows=_windows, linux=_linux)


@dataclass(frozen=True)
class Status:
    """`by` is that of LocalService; `fingerprint` is what the port shows, `since` ISO 8601, UTC."""

    host: str
    ok: bool
    words: str
    by: str
    url: str
    port: int
    fingerprint: str = ""
    since: str = ""


def look(host: AnyLocal) -> Status:
    """What there is, as the service and the port tell it."""
    service = service_of(host)
    port = host.notebook.port
    address = url(host)
    by = service.by
    if by == "none":
        return Status(host.name, False, "no notebook server is set up here (nbserver up does)", by, address, port)
    since = service.since()
    if not since:
        return Status(host.name, False, "the notebook server does not run (nbserver apply local starts it)", by, address, port)
    ip = "127.0.0.1" if host.notebook.ip == "*" else host.notebook.ip
    shown, expected = _shown(ip, port), _expected(service.certificate)
    began = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if not shown:
        return Status(host.name, False, f"the notebook server runs, and port {port} does not answer", by, address, port, "", began)
    if expected and shown != expected:
        return Status(
            host.name, False, f"port {port} shows another certificate than {service.certificate}", by, address, port, shown, began
        )
    return Status(host.name, True, "the notebook server runs", by, address, port, shown, began)


def _shown(ip: str, port: int) -> str:
    """The fingerprint of the certificate that the port shows; nothing is sent to it."""
    from nbserver.base import pinned_tls

    try:
        return pinned_tls.fingerprint_of(pinned_tls.certificate_at(ip, port, timeout=ANSWER_SECONDS))
    except OSError:
        return ""


def _expected(certificate: Path) -> str:
    """The fingerprint of the first one in the file."""
    from nbserver.base import pinned_tls

    try:
        first, end, _ = certificate.read_text("ascii").partition("-----END CERTIFICATE-----")
        return pinned_tls.fingerprint_of(ssl.PEM_cert_to_DER_cert(first + end))
    except (OSError, ValueError):
        return ""
