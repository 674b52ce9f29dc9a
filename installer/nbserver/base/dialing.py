"""Open the connections of a requests session at another place than the URL says, such as a forwarded port."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    import requests

Place = tuple[str, int]
"""An IP address and a port."""


def dial(session: requests.Session, place: Place | None) -> None:
    """Make each adapter of the session open its connections at `place`. None changes nothing.

    Everything else is that of the URL: the name that a certificate must have, SNI, the Host header, and the name for Kerberos.
    """
    if place is None:
        return
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            dial_with(adapter, place)


def dial_with(adapter: HTTPAdapter, place: Place) -> None:
    """Make one adapter open its connections at `place`. No proxy may be set."""
    manager: Any = adapter.poolmanager
    manager.pool_classes_by_scheme = {scheme: _elsewhere(pool, place) for scheme, pool in manager.pool_classes_by_scheme.items()}


def _elsewhere(make: Callable[..., Any], place: Place) -> Callable[..., Any]:
    """Return a function that makes a connection pool as `make` does, whose connections are opened at `place`."""

    def pool(*arguments: Any, **options: Any) -> Any:
        made = make(*arguments, **options)
        kind = made.ConnectionCls

        def connection(*given: Any, **more: Any) -> Any:
            opened = kind(*given, **more)
            opened._new_conn = partial(_connected_to, opened, opened._new_conn, place)
            return opened

        made.ConnectionCls = connection
        return made

    return pool


def _connected_to(connection: Any, connect: Callable[[], socket.socket], place: Place) -> socket.socket:
    """Return a socket to `place`. urllib3 takes the address from these two; the name for TLS is in another one."""
    given = connection._dns_host, connection.port
    connection._dns_host, connection.port = place
    try:
        return connect()
    finally:
        connection._dns_host, connection.port = given
