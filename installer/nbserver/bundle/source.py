"""Ask the server of a file for it: which answers have the file, which may come later, and what all others mean for a person."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import requests
from requests.adapters import HTTPAdapter

from nbserver import __version__
from nbserver.base.errors import DownloadError
from nbserver.base.message import Message
from nbserver.base.pinned_tls import proxy_for
from nbserver.bundle import contents
from nbserver.catalog.publisher import redirects, urls
from nbserver.catalog.publisher.download import UnfollowedSession, explain, trusting
from nbserver.catalog.publisher.time_limit import within

if TYPE_CHECKING:
    from nbserver.bundle.contents import File

AGAIN = "Run the command again; it continues where it stopped"
CHECK = "Compare the value in the catalog or lock with the one that the publisher states. If they match, a mirror, proxy, or virus scanner may have changed the file"
_CONNECT_SECONDS, _READ_SECONDS = 15.0, 30.0
_ANSWER_SECONDS = 120.0  # until the headers of the file are there
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_MAY_PASS = ("index-too-slow", "index-connection-lost", "index-refused-connection", "download-truncated", "download-busy", "download-slow")


class FromTheBeginning(Exception):
    """What is there so far does not belong to the file at the URL."""


class Source:
    """Servers of files. Several threads may ask at once.

    `ca_files` have CA certificates in PEM to trust in addition to the system's; raises UsageError for one without. `logins` are the
    user and password, as in a URL, of each `origin_of` a server that needs one.
    """

    def __init__(self, ca_files: Sequence[Path], logins: dict[str, str]) -> None:
        self._logins = logins
        self._session = UnfollowedSession()
        self._session.trust_env = False  # no credentials from ~/.netrc, no other list of CAs
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.mount("https://", trusting(*ca_files))
        self._session.mount("http://", HTTPAdapter())

    def close(self) -> None:
        self._session.close()

    def ask(self, url: str, begin: int, stop: threading.Event) -> requests.Response:
        """Return the response at the end of the redirects, which never lead from https to http.

        It is asked for what follows the first `begin` bytes. Raises DownloadError, also when `stop` is set, and the errors of requests.
        """

        def send(target: str) -> requests.Response:
            proxy = proxy_for(target)
            headers = {"User-Agent": f"nbserver/{__version__}", "Accept-Encoding": "identity"}
            return self._session.get(
                target,
                headers=headers | ({"Range": f"bytes={begin}-"} if begin else {}),
                auth=self._login(target),
                proxies={"https": proxy, "http": proxy} if proxy else {},
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                allow_redirects=False,
                stream=True,
            )

        try:
            return within(_ANSWER_SECONDS, lambda: redirects.followed(url, send), stop)
        except TimeoutError as error:
            raise explained(error, url) from None

    def _login(self, url: str) -> tuple[str, str] | None:
        user, separator, password = self._logins.get(origin_of(url), "").partition(":")
        return (unquote(user), unquote(password)) if separator else None


def origin_of(url: str) -> str:
    """Return the origin of a URL, as the keys of logins have it, or an empty text if it has none."""
    try:
        return urls.origin(url)
    except ValueError:
        return ""


def begin_of(response: requests.Response, file: File, asked: int) -> int:
    """Return the offset at which the response begins. Raises FromTheBeginning and DownloadError for a response without the file."""
    if response.status_code == 200:
        return 0
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)", response.headers.get("Content-Range", ""))
        if asked and match and int(match[1]) == asked and match[2] in ("*", str(file.size or match[2])):
            return asked
        if asked:
            raise FromTheBeginning
        raise DownloadError(
            "download-wrong-part",
            "the server sent a different part of the file than nbserver requested",
            where=file.url,
            todo="Run the command again. If it fails again, use a mirror or proxy that supports partial downloads",
        )
    if asked and response.status_code == 416:
        raise FromTheBeginning
    if response.status_code in _PASSING:
        raise DownloadError(
            "download-busy", "the server responded with HTTP status {status}", where=file.url, todo=AGAIN, status=response.status_code
        )
    raise DownloadError(
        "download-http-status",
        "the server responded with HTTP status {status}",
        where=file.url,
        todo="Run nbserver catalog check, and correct the catalog or packages.index_url",
        status=response.status_code,
    )


def total_of(response: requests.Response, file: File, begin: int) -> int | None:
    """Return the size that the server announces for the whole file. Raises DownloadError if it cannot be right."""
    announced = response.headers.get("Content-Length", "")
    if not re.fullmatch(r"[0-9]{1,15}", announced):
        return None
    total = begin + int(announced)
    if file.size is not None and total != file.size:
        raise DownloadError(
            "download-other-size",
            "the server reports a size of {actual} bytes, expected {expected}",
            where=file.url,
            todo=CHECK,
            actual=total,
            expected=file.size,
        )
    if total > contents.LARGEST:
        raise too_large(file.url, contents.LARGEST)
    return total


def too_large(url: str, limit: int) -> DownloadError:
    return DownloadError(
        "download-too-large", "the file is larger than {limit} bytes, so nbserver discarded it", where=url, todo=CHECK, limit=limit
    )


def is_page(url: str) -> DownloadError:
    return DownloadError(
        "download-is-page",
        "the server sent a web page instead of the file",
        where=url,
        todo="Open the URL in a browser: a proxy may ask for a login, or the publisher may have moved the file",
    )


def explained(error: Exception, url: str) -> DownloadError:
    found = explain(error, url)
    return DownloadError(
        "download-no-file",
        "could not download the file: {reason}",
        where=url,
        todo="Check the network and the proxy (HTTPS_PROXY, NO_PROXY). If a proxy intercepts TLS, specify its CA certificate with --ca-file",
        reason=Message(found.code, found.template, found.values),
    )


def may_pass(error: DownloadError) -> bool:
    reason = error.values.get("reason")
    return (reason.code if isinstance(reason, Message) else error.code) in _MAY_PASS
