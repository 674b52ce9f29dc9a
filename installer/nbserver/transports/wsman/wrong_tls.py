"""Recognize TLS that the inventory sets or leaves out although the port of the host differs."""

from __future__ import annotations

import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING

from nbserver.base.errors import ConnectError, HostError
from nbserver.transports.wsman.errors import explain

if TYPE_CHECKING:
    from nbserver.base.dialing import Dial
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.transports.ssh.forward import Forward

TIMEOUT = 5.0  # seconds
# What a connection without an answer, or with one that makes no sense, is called.
UNCLEAR = frozenset({"connection-lost", "response-part-lost", "winrm-no-tls", "winrm-http-status", "protocol-error"})


def explain_opening(error: Exception, host: WindowsHost, way: Forward | None = None) -> HostError:
    """Return the error to show for an exception before the first answer. If it is unclear, the port is asked once more.

    `way` leads through the host's jump hosts, the last of which may know the reason.
    """
    found = explain(error, host)
    if way is not None and isinstance(found, ConnectError) and (reason := way.reason()) is not None:
        return reason
    if found.code not in UNCLEAR or host.proxy:
        return found
    dial: Dial = way.dial if way is not None else partial(socket.create_connection, (host.address, host.port))
    place = f"{host.address}:{host.port}"
    if not host.tls and _speaks_tls(dial):
        return ConnectError(
            "tls-needed",
            "{place} uses TLS, but the inventory has tls = false",
            host=host.name,
            todo="In the inventory, set tls = true, or correct port",
            place=place,
        )
    if host.tls and found.code != "winrm-http-status" and _speaks_http(dial):
        return ConnectError(
            "tls-not-offered",
            "{place} responds without TLS, but the inventory has tls = true",
            host=host.name,
            todo="In the inventory, set port to the TLS listener's port (5986 by default), or set tls = false",
            place=place,
        )
    return found


def _speaks_tls(dial: Dial) -> bool:
    """Return whether the port completes a TLS handshake. Nothing is sent over it, so its certificate does not matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with dial(TIMEOUT) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False


def _speaks_http(dial: Dial) -> bool:
    """Return whether the port answers a request without TLS and without a logon."""
    try:
        with dial(TIMEOUT) as plain:
            plain.sendall(b"OPTIONS /wsman HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return plain.recv(5) == b"HTTP/"
    except OSError:
        return False
