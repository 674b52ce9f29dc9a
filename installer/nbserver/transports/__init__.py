"""Ways to a host. A transport connects, runs one script, yields what it says, stops it and closes. It knows no steps."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import AnyHost


class Transport(Protocol):
    """One connection to one host, used by one thread.

    `deadline`, in seconds of time.monotonic, is when a run must have ended; it may be set while a script runs.
    """

    deadline: float

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        """Runs the script and yields its output, line by line, as it comes.

        Raises ConnectError (the connection was lost; the script may go on), ScriptError (it could not run), StreamError (the
        host says too much, see answer_limits, or is still there after the deadline) and StopRequested (it was stopped, on
        request, and has ended).
        """
        ...

    def close(self) -> None:
        """Ends the connection. Never raises."""
        ...


@dataclass(frozen=True)
class LogonSecrets:
    """What a transport needs to log on, as the host's settings of the same names refer to it. Its repr shows none of it."""

    password: str | None = field(default=None, repr=False)
    key_password: str | None = field(default=None, repr=False)
    sudo_password: str | None = field(default=None, repr=False)


class StopRequested(Exception):
    """The script was stopped because the operator asked for it."""


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
