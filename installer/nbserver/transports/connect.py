"""Connect to a host with the transport that is set in its inventory."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from nbserver.inventory.by_kind import ByKind
from nbserver.transports.unless_stopped import unless_stopped

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.transports.ssh.forward import Forward
    from nbserver.transports.transport import LogonSecrets, Transport


def import_ahead(hosts: Iterable[AnyHost]) -> None:
    """Import what SSH hosts need in a thread, while the run is prepared: no other import takes as long."""
    if any(host.transport == "ssh" for host in hosts):
        threading.Thread(target=importlib.import_module, args=("nbserver.transports.ssh.transport",), name="import-ssh").start()


def _windows(host: WindowsHost, secrets: LogonSecrets, stop: threading.Event) -> Transport:
    if host.transport == "ssh":
        from nbserver.transports.ssh_windows.transport import SshWindowsTransport

        return SshWindowsTransport(host, secrets, stop)
    if not host.hops:
        return unless_stopped(partial(_windows_at, host, secrets, stop), stop)
    from nbserver.transports.ssh.forward import Forward

    way = Forward(host.name, host.hops, secrets.hops, host.address, host.port, stop)
    try:
        return unless_stopped(partial(_windows_at, host, secrets, stop, way), stop)
    except BaseException:
        way.close()
        raise


def _windows_at(host: WindowsHost, secrets: LogonSecrets, stop: threading.Event, way: Forward | None = None) -> Transport:
    if host.transport == "winrm":
        from nbserver.transports.winrm.transport import WinrmTransport

        return WinrmTransport(host, secrets.password, stop, way)
    from nbserver.transports.psrp.transport import PsrpTransport

    return PsrpTransport(host, secrets.password, stop, way)


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
