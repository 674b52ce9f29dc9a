"""Connect to a host with the transport that is set in its inventory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nbserver.inventory.by_kind import ByKind
from nbserver.transports.unless_stopped import unless_stopped

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.transports.transport import LogonSecrets, Transport


def _windows(host: WindowsHost, secrets: LogonSecrets, stop: threading.Event) -> Transport:
    if host.transport == "winrm":
        from nbserver.transports.winrm.transport import WinrmTransport

        return unless_stopped(lambda: WinrmTransport(host, secrets.password, stop), stop)
    from nbserver.transports.psrp.transport import PsrpTransport

    return unless_stopped(lambda: PsrpTransport(host, secrets.password, stop), stop)


def _linux(host: LinuxHost, secrets: LogonSecrets, stop: threading.Event) -> Transport:
    from nbserver.transports.ssh.transport import SshTransport

    return SshTransport(host, secrets, stop)


def _local_windows(host: LocalWindowsHost, _: LogonSecrets, stop: threading.Event) -> Transport:
    from nbserver.transports.local.windows import LocalWindowsTransport

    return LocalWindowsTransport(host, stop)


def _local_linux(host: LocalLinuxHost, _: LogonSecrets, stop: threading.Event) -> Transport:
    from nbserver.transports.local.linux import LocalTransport

    return LocalTransport(host, stop)


# Returns a connection to a host. Setting the event stops the running script.
# Raises ConnectError, AuthenticationError, CertificateError, HostKeyError, and StopRequested.
connect_to = ByKind(windows=_windows, linux=_linux, local_windows=_local_windows, local_linux=_local_linux)
