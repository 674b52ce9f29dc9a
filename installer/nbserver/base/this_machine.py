"""Connections to this machine: browsers need neither /etc/hosts nor a proxy for them, so nbserver does not either."""

from __future__ import annotations

import ipaddress
import socket
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbserver.base.dialing import Dial


def dial_to(host: str, port: int) -> Dial | None:
    """Return what connects to the port, if the host is a loopback address, `localhost`, or below it. Otherwise return None."""
    return partial(_connect, host, port) if _is_name(host) or _is_address(host) else None


def _is_name(host: str) -> bool:
    return f".{host.lower().rstrip('.')}".endswith(".localhost")


def _is_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _connect(host: str, port: int, timeout: float | None) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout)
    except socket.gaierror:
        if not _is_name(host):
            raise
        return socket.create_connection(("127.0.0.1", port), timeout)  # as RFC 6761 (6.3) demands
