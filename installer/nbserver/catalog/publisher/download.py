"""Download an index over HTTPS: with the trust store of the system, limits for size and time, and no redirects to other hosts."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from nbserver import __version__
from nbserver.base.authority_tls import pem_text
from nbserver.base.errors import DownloadError, NbserverError, UsageError
from nbserver.base.pinned_tls import SystemTrustAdapter, proxy_for
from nbserver.catalog.publisher.time_limit import within
from nbserver.catalog.publisher.urls import redirected
from nbserver.settings.refusal import reason_of

if TYPE_CHECKING:
    from typing import Self

LARGEST_INDEX = 32 * 1024 * 1024
"""Maximum size of one response in bytes, unpacked."""
_CONNECT_SECONDS, _READ_SECONDS, _WHOLE_SECONDS = 15.0, 30.0, 180.0
_LONGEST_AUTHORITIES = 16 * 1024 * 1024  # bytes: a device has no end
_MOST_REDIRECTS = 3
_WAY = (
    "The catalog was not written. Check the network and the proxy (HTTPS_PROXY, NO_PROXY), or use a mirror with "
    "--base-url-python or --openssl-index"
)


class TrustingAdapter(SystemTrustAdapter):
    """Trusts the authorities of the site in addition to those of the system."""

    def __init__(self, authorities: Iterable[str]) -> None:
        self._authorities = tuple(authorities)
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        for text in self._authorities:
            self._trust.load_verify_locations(cadata=text)


def trusting(*ca_files: Path | None) -> TrustingAdapter:
    """Return an adapter that trusts the CA certificates in these files, too. Raises UsageError for a file without one."""
    return TrustingAdapter([read_authorities(path) for path in ca_files if path is not None])


def read_authorities(path: Path) -> str:
    """Return the text of a file with CA certificates in PEM. Raises UsageError for a file without one."""
    try:
        with path.open("rb") as file:
            text = pem_text(file.read(_LONGEST_AUTHORITIES))
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
        return text
    except (OSError, ssl.SSLError):
        raise UsageError(
            "ca-file-without-certificate",
            "the file contains no PEM certificate",
            where=str(path),
            todo="Specify a file that contains CA certificates in PEM format with --ca-file or downloads.ca_file",
        ) from None


class UnfollowedSession(requests.Session):
    """Ignores redirects: requests would read the body of a redirect without a limit, even if it does not follow it."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class IndexDownload:
    """A callable that returns the bytes at an HTTPS URL, or raises DownloadError.

    `ca_file` has CA certificates in PEM; without one, raises UsageError. `whole_seconds` is the limit for one URL with its redirects.
    """

    def __init__(self, ca_file: Path | None, *, whole_seconds: float = _WHOLE_SECONDS) -> None:
        self._whole_seconds = whole_seconds
        self._session = UnfollowedSession()
        self._session.trust_env = False  # no credentials from ~/.netrc, no other list of CAs
        self._session.adapters.clear()  # no http:// at all
        self._session.mount("https://", trusting(ca_file))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def __call__(self, url: str) -> bytes:
        try:
            return within(self._whole_seconds, lambda: self._follow(url))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            raise explain(error, url) from None

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
                    raise DownloadError(
                        "index-http-status",
                        "the server responded with HTTP status {status}",
                        where=url,
                        todo=_WAY,
                        status=response.status_code,
                    )
                try:
                    target = redirected(target, response.headers.get("Location", ""))
                except ValueError as reason:
                    raise DownloadError(
                        "index-redirect-refused", "the redirect is not allowed: {reason}", where=url, todo=_WAY, reason=reason_of(reason)
                    ) from None
        raise DownloadError(
            "index-too-many-redirects", "the server responded with more than {limit} redirects", where=url, todo=_WAY, limit=_MOST_REDIRECTS
        )


def _body(response: requests.Response, url: str) -> bytes:
    parts, size = [], 0
    chunks: Iterator[bytes] = response.iter_content(64 * 1024)
    for chunk in chunks:
        size += len(chunk)
        if size > LARGEST_INDEX:
            raise DownloadError(
                "index-response-too-large",
                "the response is larger than {limit} MB",
                where=url,
                todo="The catalog was not written. Make sure that this is the URL of the publisher's index or of your mirror",
                limit=LARGEST_INDEX // 1024 // 1024,
            )
        parts.append(chunk)
    return b"".join(parts)


def explain(error: Exception, url: str) -> DownloadError:
    """Return the error to show. Messages of libraries are only shown if they cannot contain the URL of a proxy."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return DownloadError(
                "index-certificate-untrusted",
                "the server's certificate is not trusted: {reason}",
                where=url,
                todo="The catalog was not written. If your site's proxy or mirror responds at this URL, specify its CA "
                "certificate with --ca-file",
                reason=cause.verify_message,
            )

    def has(*types: type[Exception]) -> bool:
        return any(isinstance(cause, types) for cause in causes)

    if has(requests.exceptions.ProxyError, urllib3.exceptions.ProxyError):
        return DownloadError("index-proxy", "could not connect through the proxy set in the environment", where=url, todo=_WAY)
    if has(socket.gaierror, UnicodeError):
        return DownloadError("index-name-not-resolved", "could not resolve the server's name", where=url, todo=_WAY)
    if has(ConnectionRefusedError):
        return DownloadError("index-refused-connection", "the server refused the connection", where=url, todo=_WAY)
    if has(TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError):
        return DownloadError("index-too-slow", "the server did not send a complete response in time", where=url, todo=_WAY)
    if has(ssl.SSLError):
        return DownloadError(
            "index-tls-version", "the server does not support any TLS version that this workstation accepts", where=url, todo=_WAY
        )
    return DownloadError(
        "index-connection-lost",
        "the connection was lost before the response was complete ({kind})",
        where=url,
        todo=_WAY,
        kind=type(error).__name__,
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes: requests and urllib3 store them in `args`, `reason` or the context."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        found = waiting.pop(0)
        if isinstance(found, BaseException) and found not in seen and not isinstance(found, NbserverError):
            seen.append(found)
            yield found
            waiting += [getattr(found, "reason", None), found.__cause__, found.__context__, *found.args]
