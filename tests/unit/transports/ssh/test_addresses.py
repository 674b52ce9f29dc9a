"""The addresses of a name, also of one about which no server answers."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from nbserver.transports.ssh.connection import _addresses


def test_each_address_comes_once_in_the_order_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET6, 1, 6, "", ("2001:db8::1", 22, 0, 0)), *[(socket.AF_INET, 1, 6, "", ("192.0.2.7", 22))] * 2]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: found)
    assert asyncio.run(_addresses("lin1", 22, 60)) == ["2001:db8::1", "192.0.2.7"]


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*given: Any, **more: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(socket.gaierror):
        asyncio.run(_addresses("lin1", 22, 60))


def test_nothing_waits_for_a_lookup_that_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C, nbserver would only exit once the system has given up, too: half a minute later."""
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: answer.wait(60) and [])
    before = set(threading.enumerate())
    with pytest.raises(TimeoutError):
        asyncio.run(_addresses("lin1", 22, 0.05))
    (left,) = set(threading.enumerate()) - before
    assert left.daemon and left.name == "resolving"
    answer.set()
    left.join()
