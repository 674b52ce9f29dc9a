"""The notebook server on this machine: its status, and stopping it. The script starts it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nbserver.base.message import phrase
from nbserver.inventory import own_server
from nbserver.inventory.by_kind import LocalByKind
from nbserver.local.places import url

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyLocal
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost

ANSWER_SECONDS = 10.0


class LocalService(Protocol):
    """The server as the operating system runs it. `by` is systemd, background, or none if no server is set up."""

    certificate: Path

    @property
    def by(self) -> str: ...

    def since(self) -> float:
        """Return when the server was started, in seconds since the epoch, or 0 if it is not running."""
        ...

    def limits(self) -> Mapping[str, Mapping[str, str]] | None:
        """Return what the server may use of this machine, in the form of the event `status`, or None if it has no limits."""
        ...

    def previous(self) -> Mapping[str, str] | None:
        """Return the environment before the last upgrade, in the form of the event `status`, or None if none is kept or readable."""
        ...

    def stop(self) -> bool:
        """Stop the server. Return whether there was one to stop. Raises HostError."""
        ...


def _windows(host: LocalWindowsHost) -> LocalService:
    from nbserver.local.windows_service import WindowsService

    return WindowsService(host)


def _linux(host: LocalLinuxHost) -> LocalService:
    from nbserver.local.linux_service import LinuxService

    return LinuxService(host)


# Raises UsageError if the commands of the system must be used instead.
service_of = LocalByKind(windows=_windows, linux=_linux)


@dataclass(frozen=True)
class Status:
    """`by` is that of LocalService, `fingerprint` that of the certificate on the port, `since` is ISO 8601 in UTC.

    `limits` are those of a server that is running, and `previous` is the environment that a rollback would use, both as in the
    event `status`.
    """

    host: str
    ok: bool
    words: str
    by: str
    url: str
    port: int
    fingerprint: str = ""
    since: str = ""
    limits: Mapping[str, Mapping[str, str]] | None = None
    previous: Mapping[str, str] | None = None


def look(host: AnyLocal) -> Status:
    """Return the status, as reported by the service, the port, and what the last upgrade kept."""
    service = service_of(host)
    return replace(_running(host, service), previous=service.previous())


def _running(host: AnyLocal, service: LocalService) -> Status:
    port = own_server.settings(host.scope).get("port", host.notebook.port)  # another inventory may say otherwise
    address = url(host, port)
    by = service.by
    if by == "none":
        return Status(host.name, False, phrase("no notebook server is set up; run nbserver up"), by, address, port)
    since = service.since()
    if not since:
        return Status(host.name, False, phrase("the notebook server is not running; start it with nbserver apply local"), by, address, port)
    ip = "127.0.0.1" if host.notebook.ip == "*" else host.notebook.ip
    shown, expected = _shown(ip, port), _expected(service.certificate)
    began = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if not shown:
        return Status(
            host.name,
            False,
            phrase("the notebook server is running, but port {port} does not answer", port=port),
            by,
            address,
            port,
            "",
            began,
        )
    if expected and shown != expected:
        return Status(
            host.name,
            False,
            phrase("port {port} shows a different certificate than {file}", port=port, file=service.certificate),
            by,
            address,
            port,
            shown,
            began,
        )
    return Status(host.name, True, phrase("the notebook server is running"), by, address, port, shown, began, service.limits())


def _shown(ip: str, port: int) -> str:
    """Return the fingerprint of the certificate that the port shows, or an empty string. Nothing is sent."""
    from nbserver.base import pinned_tls

    try:
        return pinned_tls.fingerprint_of(pinned_tls.certificate_at(ip, port, timeout=ANSWER_SECONDS))
    except OSError:
        return ""


def _expected(certificate: Path) -> str:
    """Return the fingerprint of the first certificate in the file, or an empty string."""
    from nbserver.base import pinned_tls

    try:
        first, end, _ = certificate.read_text("ascii").partition("-----END CERTIFICATE-----")
        return pinned_tls.fingerprint_of(ssl.PEM_cert_to_DER_cert(first + end))
    except (OSError, ValueError):
        return ""
