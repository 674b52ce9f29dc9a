"""Open the connections of a requests session in another way than to the address in the URL, such as through a jump host."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError

if TYPE_CHECKING:
    import requests

Dial = Callable[[float | None], socket.socket]
"""Returns an open connection. The timeout, in seconds, counts for opening it, and stays set on the socket. Raises OSError."""


def dial_with(session: requests.Session, dial: Dial | None) -> None:
    """Make each adapter of the session open its connections with `dial`. None changes nothing. No proxy may be set.

    Everything else is that of the URL: the name that a certificate must have, SNI, the Host header, and the name for Kerberos.
    """
    if dial is None:
        return
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            manager: Any = adapter.poolmanager
            manager.pool_classes_by_scheme = {scheme: _dialing(pool, dial) for scheme, pool in manager.pool_classes_by_scheme.items()}


def _dialing(make: Callable[..., Any], dial: Dial) -> Callable[..., Any]:
    """Return a function that makes a connection pool as `make` does, whose connections are opened with `dial`."""

    def pool(*arguments: Any, **options: Any) -> Any:
        made = make(*arguments, **options)
        kind = made.ConnectionCls

        def connection(*given: Any, **more: Any) -> Any:
            opened = kind(*given, **more)
            opened._new_conn = partial(_dialed, opened, dial)
            return opened

        made.ConnectionCls = connection
        return made

    return pool


def _dialed(connection: Any, dial: Dial) -> socket.socket:
    try:
        return dial(connection.timeout)
    except OSError as error:
        raise NewConnectionError(connection, str(error)) from error
