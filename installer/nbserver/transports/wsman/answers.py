"""Limit the size and duration of each HTTP response of a WinRM listener. A plain requests session would wait and read forever."""

from __future__ import annotations

import math
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from requests.adapters import BaseAdapter, HTTPAdapter

from nbserver.base.errors import ConnectError, StreamError
from nbserver.transports.answer_limits import in_time

if TYPE_CHECKING:
    import requests

# Bytes, decompressed. nbserver requests envelopes of 150 KB, or of 500 KB if the host supports that.
LARGEST_ANSWER = 4_000_000
# Seconds for one request and its response, even over a slow line. A socket's own timeout restarts with each byte.
ANSWER_TIMEOUT = 900.0


def limit_answers(session: requests.Session, host: str, deadline: Callable[[], float], first: float = math.inf) -> None:
    """Make the session raise HostError for a response that is too large, too slow, or a redirect, and for a request after the deadline.

    `first` is how many seconds the host may be silent before its first response.

    The session's certificate rules do not change.
    """
    for prefix, adapter in list(session.adapters.items()):
        if isinstance(adapter, HTTPAdapter):
            session.adapters[prefix] = _Limited(adapter, host, deadline, first)


class _Limited(BaseAdapter):
    """Sends through another adapter. The response is counted as it is read, not in advance, because a logon needs its socket."""

    def __init__(self, adapter: HTTPAdapter, host: str, deadline: Callable[[], float], first: float) -> None:
        super().__init__()
        self._first = first
        self._adapter, self._host, self._deadline = adapter, host, deadline
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._pools: weakref.WeakSet[Any] = weakref.WeakSet()
        self._timer: threading.Timer | None = None
        self._cut_off = False
        self._know_connections()

    def _know_connections(self) -> None:
        """Keep track of each connection that the adapter opens, so that another thread can shut down its socket."""
        find = self._adapter.get_connection_with_tls_context

        def found(*arguments: Any, **options: Any) -> Any:
            pool = find(*arguments, **options)
            if pool not in self._pools:
                self._pools.add(pool)
                kind = pool.ConnectionCls

                def connection(*given: Any, **more: Any) -> Any:
                    made = kind(*given, **more)
                    self._connections.add(made)
                    return made

                pool.ConnectionCls = connection  # type: ignore[assignment]
            return pool

        self._adapter.get_connection_with_tls_context = found  # type: ignore[method-assign]

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        in_time(self._host, self._deadline())
        self._begin()
        with self._until_cut_off():
            response = self._adapter.send(request, **self._in_time(options))
        self._first = math.inf
        if response.is_redirect:
            response.close()
            raise ConnectError(
                "winrm-redirect",
                "the server responded with a redirect (HTTP status {status})",
                host=self._host,
                todo="Check address and port in the inventory",
                status=response.status_code,
            )
        response.connection = self  # type: ignore[assignment]  # a logon sends its next message through this
        response.raw.stream = self._counted(response)
        return response

    def _in_time(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options for a request, with a shorter timeout before the first response."""
        timeout = options.get("timeout")
        connecting, reading = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        limits = [seconds for seconds in (reading, self._first) if seconds is not None and seconds < math.inf]
        return {**options, "timeout": (connecting, min(limits, default=None))}

    def close(self) -> None:
        self._end()
        self._adapter.close()

    def _counted(self, response: requests.Response) -> Callable[..., Iterator[bytes]]:
        stream = response.raw.stream

        def counted(*arguments: Any, **options: Any) -> Iterator[bytes]:
            size = 0
            with self._until_cut_off():
                for part in stream(*arguments, **options):
                    size += len(part)
                    if size > LARGEST_ANSWER:
                        response.raw.close()
                        raise StreamError(
                            "winrm-response-too-large",
                            "the server sent a response larger than {limit} MB",
                            host=self._host,
                            todo="Check address and port in the inventory: a different server may be listening on this port",
                            limit=LARGEST_ANSWER // 1000000,
                        )
                    yield part
            self._end()

        return counted

    def _begin(self) -> None:
        self._end()
        self._timer = threading.Timer(ANSWER_TIMEOUT, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        self._cut_off = True
        for connection in list(self._connections):
            with suppress(OSError, AttributeError, TypeError):  # it is already closed
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)  # SSLSocket.shutdown is not thread-safe

    @contextmanager
    def _until_cut_off(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            if not self._cut_off:
                raise
        if self._cut_off:  # a library may take a closed connection for the end of a response
            raise StreamError(
                "winrm-response-too-slow",
                "a response took longer than {seconds} s",
                host=self._host,
                todo="Check the host's load, then try again",
                seconds=f"{ANSWER_TIMEOUT:.0f}",
            )
