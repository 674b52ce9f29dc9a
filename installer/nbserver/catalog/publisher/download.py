"""Reads an index over HTTPS: the system's trust, a limit for the size, limits for the time, no redirect to elsewhere."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from nbserver import __version__
from nbserver.base.errors import DownloadError, NbserverError, UsageError
from nbserver.base.pinned_tls import SystemTrustAdapter, proxy_for
from nbserver.catalog.publisher.urls import redirected

if TYPE_CHECKING:
    from typing import Self

LARGEST_INDEX = 32 * 1024 * 1024
"""Bytes of one answer, unpacked."""
_CONNECT_SECONDS, _READ_SECONDS, _WHOLE_SECONDS = 15.0, 30.0, 180.0
_MOST_REDIRECTS = 3
_WAY = "Nothing was written. Check the way there (HTTPS_PROXY, NO_PROXY), or name a copy with --base-url-python or --openssl-index"


class _Adapter(SystemTrustAdapter):
    """Trusts an authority of the site beside those of the system."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        if self._ca_file is not None:
            self._trust.load_verify_locations(self._ca_file)


class _Session(requests.Session):
    """Leaves redirects alone: requests would read the body of one without a limit, even where it does not follow it."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class IndexDownload:
    """Call it with an https URL: it returns the answer's bytes, or raises DownloadError.

    `ca_file` has authorities in PEM; UsageError where it has none. `whole_seconds` is for one URL with its redirects.
    """

    def __init__(self, ca_file: Path | None, *, whole_seconds: float = _WHOLE_SECONDS) -> None:
        self._whole_seconds = whole_seconds
        self._session = _Session()
        self._session.trust_env = False  # no credentials from ~/.netrc, no other list of authorities
        self._session.adapters.clear()  # no http:// at all
        try:
            self._session.mount("https://", _Adapter(ca_file))
        except (OSError, ssl.SSLError):
            raise UsageError(
                "there is no certificate in PEM in it", where=str(ca_file), todo="Name the authority's file with --ca-file"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def __call__(self, url: str) -> bytes:
        try:
            return _within(self._whole_seconds, lambda: self._follow(url))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            what, todo = _explain(error)
            raise DownloadError(what, where=url, todo=todo) from None

    def _follow(self, url: str) -> bytes:
        target = url
        for _ in range(_MOST_REDIRECTS + 1):
            proxy = proxy_for(target)
            with self._session.get(
                target,
                headers={"User-Agent": f"nbserver/{__version__}", "Accept": "application/json", "Accept-Encoding": "identity"},
                proxies={"https": proxy} if proxy else {},
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.status_code == 200:
                    return _body(response, url)
                if response.status_code not in (301, 302, 303, 307, 308):
                    raise DownloadError(f"the server answers with HTTP status {response.status_code}", where=url, todo=_WAY)
                try:
                    target = redirected(target, response.headers.get("Location", ""))
                except ValueError as reason:
                    raise DownloadError(f"a redirect is refused: {reason}", where=url, todo=_WAY) from None
        raise DownloadError(f"more than {_MOST_REDIRECTS} redirects", where=url, todo=_WAY)


def _body(response: requests.Response, url: str) -> bytes:
    parts, size = [], 0
    chunks: Iterator[bytes] = response.iter_content(64 * 1024)
    for chunk in chunks:
        size += len(chunk)
        if size > LARGEST_INDEX:
            raise DownloadError(f"the answer is larger than {LARGEST_INDEX // 1024 // 1024} MB", where=url, todo=_WAY)
        parts.append(chunk)
    return b"".join(parts)


def _within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """Do the work in a thread that is left behind when the time is over: a socket's own limit starts anew with each byte."""
    results: list[bytes | Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not results:
        raise TimeoutError
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


def _explain(error: Exception) -> tuple[str, str]:
    """What happened and what to do. Of the libraries' words only those are shown that hold nothing of a proxy's URL."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the server's certificate is not trusted: {cause.verify_message}",
                "Nothing was written. If a proxy or mirror of your site answers there, name its authority with --ca-file",
            )
    if any(isinstance(cause, (requests.exceptions.ProxyError, urllib3.exceptions.ProxyError)) for cause in causes):
        return "the proxy that the environment names does not lead there", _WAY
    for types, what in (
        ((socket.gaierror, UnicodeError), "the name of the server is not known"),
        ((ConnectionRefusedError,), "nothing listens there"),
        ((TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError), "there is no whole answer in time"),
        ((ssl.SSLError,), "the server speaks no TLS that this workstation accepts"),
    ):
        if any(isinstance(cause, types) for cause in causes):
            return what, _WAY
    return f"the connection broke before the whole answer was there ({type(error).__name__})", _WAY


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what lies behind it: requests and urllib3 keep that in `args`, `reason` or the context."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        found = waiting.pop(0)
        if isinstance(found, BaseException) and found not in seen and not isinstance(found, NbserverError):
            seen.append(found)
            yield found
            waiting += [getattr(found, "reason", None), found.__cause__, found.__context__, *found.args]
