"""Connects to a host by the transport that its inventory names."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.transports.transport import LogonSecrets, Transport


def connect_to(host: AnyHost, secrets: LogonSecrets, stop: threading.Event) -> Transport:
    """A connection by the transport that the inventory says. `stop`, once set, stops the script that runs.

    Raises ConnectError, AuthenticationError, CertificateError, HostKeyError and, with SSH, StopRequested.
    """
    if host.transport == "local" and host.system == "windows":
        from nbserver.transports.local.windows import LocalWindowsTransport

        return LocalWindowsTransport(host, stop)
    if host.transport == "local":
        from nbserver.transports.local.linux import LocalTransport

        return LocalTransport(host, stop)
    if host.transport == "ssh":
        from nbserver.transports.ssh.transport import SshTransport

        return SshTransport(host, secrets, stop)
    if host.transport == "winrm":
        from nbserver.transports.winrm.transport import WinrmTransport

        return WinrmTransport(host, secrets.password, stop)
    from nbserver.transports.psrp.transport import PsrpTransport

    return PsrpTransport(host, secrets.password, stop)
