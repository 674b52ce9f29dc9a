"""Ways to a host. A transport connects, runs one script, yields what it says, stops it and closes. It knows no steps."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from installer.errors import ConnectError

if TYPE_CHECKING:
    from installer.linux_settings import AnyHost


class Transport(Protocol):
    """One connection to one host, used by one thread."""

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        """Runs the script and yields its output, line by line, as it comes.

        Raises ConnectError (the connection was lost; the script may go on), ScriptError (it could not run) and
        StopRequested (it was stopped, on request, and has ended).
        """
        ...

    def close(self) -> None:
        """Ends the connection. Never raises."""
        ...


class StopRequested(Exception):
    """The script was stopped because the operator asked for it."""


def connect_to(host: AnyHost, password: str | None, stop: threading.Event) -> Transport:
    """A connection by the transport that the inventory says. `stop`, once set, stops the script that runs.

    Raises ConnectError, AuthenticationError and CertificateError.
    """
    if host.transport == "ssh":
        raise ConnectError("this release renders scripts for Linux hosts and does not reach them yet", host=host.name, todo="Run the rendered script on the host, by hand")
    if host.transport == "winrm":
        from installer.transports.winrm import WinrmTransport

        return WinrmTransport(host, password, stop)
    from installer.transports.psrp import PsrpTransport

    return PsrpTransport(host, password, stop)
