"""Which TCP port of this machine is free."""

from __future__ import annotations

import socket
import sys

from nbserver.inventory.browser_ports import BLOCKED

MOST = 50  # ports that are tried


def first_free(ip: str, port: int) -> int | None:
    """Return the first free port from `port` on to which browsers connect, or None if there is none nearby."""
    candidates = (number for number in range(port, min(port + MOST, 65536)) if number not in BLOCKED)
    return next((number for number in candidates if _is_free(ip, number)), None)


def _is_free(ip: str, port: int) -> bool:
    address = "0.0.0.0" if ip == "*" else ip
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as one:
        # On Windows, SO_REUSEADDR shares a port; elsewhere, it takes one whose connections have just ended.
        option = getattr(socket, "SO_EXCLUSIVEADDRUSE") if sys.platform == "win32" else socket.SO_REUSEADDR  # noqa: B009
        one.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            one.bind((address, port))
            one.listen(1)  # SO_REUSEADDR allows bind, but not this, next to a program that listens
        except OSError:
            return False
    return True
