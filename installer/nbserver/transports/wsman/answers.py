"""How long one HTTP answer of a WinRM listener may be, and may take. A session of requests by itself would wait and read without end."""

from __future__ import annotations

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

# Bytes, unpacked. This release asks for envelopes of 150 KB, and of 500 KB where the host can do that.
LARGEST_ANSWER = 4_000_000
# Seconds for one request and its answer, over a slow line too. The time-out of a socket begins anew with each byte.
ANSWER_TIMEOUT = 900.0


def limit_answers(session: requests.Session, host: str, deadline: Callable[[], float]) -> None:
    """From now on an answer that is too long, takes too long or leads elsewhere, and a request after the deadline, raise HostError.

    The session's rules for certificates stay.
    """
    for prefix, adapter in list(session.adapters.items()):
        if isinstance(adapter, HTTPAdapter):
            session.adapters[prefix] = _Limited(adapter, host, deadline)


class _Limited(BaseAdapter):
    """Sends through another adapter. What comes back is counted while it is read, not before: a logon needs its socket."""

    def __init__(self, adapter: HTTPAdapter, host: str, deadline: Callable[[], float]) -> None:
        super().__init__()
        self._adapter, self._host, self._deadline = adapter, host, deadline
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._timer: threading.Timer | None = None
        self._cut_off = False
        self._know_connections()

    def _know_connections(self) -> None:
        """Each connection that the adapter opens from now on is known here, so that its socket can be ended from another thread."""
        find = self._adapter.get_connection_with_tls_context

        def found(*arguments: Any, **options: Any) -> Any:
            pool = find(*arguments, **options)
            if "ConnectionCls" not in vars(pool):
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
            response = self._adapter.send(request, **options)
        if response.is_redirect:
            response.close()
            raise ConnectError(
                f"it sends this workstation elsewhere (HTTP status {response.status_code})",
                host=self._host,
                todo="Check address and port in the inventory",
            )
        response.connection = self  # type: ignore[assignment]  # what a logon sends its next message through
        response.raw.stream = self._counted(response)
        return response

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
                            f"it sends an answer that is longer than {LARGEST_ANSWER // 1_000_000} MB",
                            host=self._host,
                            todo="Find out what answers at this address",
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
            with suppress(OSError, AttributeError, TypeError):  # it is closed already
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)  # not SSLSocket's own, which is for one thread

    @contextmanager
    def _until_cut_off(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            if not self._cut_off:
                raise
        if self._cut_off:  # a library may take the end of a connection for that of an answer
            raise StreamError(
                f"an answer takes longer than {ANSWER_TIMEOUT:.0f} s",
                host=self._host,
                todo="Find out what the host is doing, then run this again",
            )
