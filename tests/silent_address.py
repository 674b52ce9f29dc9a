"""A name with two addresses, of which the first one is silent: no packet that asks for a connection is answered."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

SILENT = "127.0.0.2"


@contextlib.contextmanager
def silent_address(port: int) -> Iterator[str]:
    """An address of this machine on which connections to the port are never accepted. Linux drops them when the queue is full."""
    with contextlib.ExitStack() as opened, socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SILENT, port))
        listener.listen(0)
        for _ in range(10):
            waiting = opened.enter_context(socket.socket())
            waiting.settimeout(0.2)
            try:
                waiting.connect((SILENT, port))
            except TimeoutError:
                break
        else:
            raise AssertionError("the queue is never full")
        yield SILENT


@contextlib.contextmanager
def name_with(name: str, *addresses: str) -> Iterator[None]:
    """Within it, the name has these addresses, in this order."""
    ask = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **options: Any) -> list[Any]:
        hosts = addresses if host in (name, name.encode()) else [host]
        return [found for one in hosts for found in ask(one, *arguments, **options)]

    with patch("socket.getaddrinfo", answer):
        yield
