"""How long one HTTP answer of a WinRM listener may be. A session of requests would read it whatever its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from requests.adapters import BaseAdapter

from installer.errors import StreamError

if TYPE_CHECKING:
    import requests

# Bytes, unpacked. This release asks for envelopes of 150 KB, and of 500 KB where the host can do that.
LARGEST_ANSWER = 4_000_000


def limit_answers(session: requests.Session, host: str) -> None:
    """From now on an answer that is too long raises StreamError. The session's rules for certificates stay."""
    for prefix, adapter in list(session.adapters.items()):
        session.adapters[prefix] = _Limited(adapter, host)


class _Limited(BaseAdapter):
    """Sends through another adapter. What comes back is counted while it is read, not before: a logon needs its socket."""

    def __init__(self, adapter: BaseAdapter, host: str) -> None:
        super().__init__()
        self._adapter, self._host = adapter, host

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        response = self._adapter.send(request, **options)
        response.connection = self  # type: ignore[assignment]  # what a logon sends its next message through
        response.raw.stream = _counted(response, self._host)
        return response

    def close(self) -> None:
        self._adapter.close()


def _counted(response: requests.Response, host: str) -> Callable[..., Iterator[bytes]]:
    stream = response.raw.stream

    def counted(*arguments: Any, **options: Any) -> Iterator[bytes]:
        size = 0
        for part in stream(*arguments, **options):
            size += len(part)
            if size > LARGEST_ANSWER:
                response.raw.close()
                raise StreamError(f"it sends an answer that is longer than {LARGEST_ANSWER // 1_000_000} MB", host=host, todo="Find out what answers at this address")
            yield part

    return counted
