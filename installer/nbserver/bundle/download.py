"""Download one file: resumed, tried again, limited, and kept only if it has the hash that the script names."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from nbserver import __version__
from nbserver.base.errors import DownloadError, OutputError
from nbserver.base.message import Message
from nbserver.base.pinned_tls import proxy_for
from nbserver.bundle import contents
from nbserver.catalog.publisher.download import UnfollowedSession, explain, trusting

if TYPE_CHECKING:
    from typing import Self

    from nbserver.bundle.contents import File
    from nbserver.bundle.progress import Progress

_CONNECT_SECONDS, _READ_SECONDS = 15.0, 30.0
_SLOWEST, _WINDOW_SECONDS = 1024, 60.0  # bytes per second on average over the window
_BLOCK = 256 * 1024
_MOST_REDIRECTS = 5
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_MAY_PASS = ("index-too-slow", "index-connection-lost", "index-refused-connection", "download-truncated", "download-busy", "download-slow")
_AGAIN = "Run the command again; it continues where it stopped"
_CHECK = "Compare the catalog or the lock with the publisher; a mirror, a proxy, or a virus scanner may also have changed the file"


class Stopped(Exception):
    """The person pressed Ctrl-C."""


class _FromTheBeginning(Exception):
    """What is there so far does not belong to the file at the URL."""


class FileDownload:
    """Downloads files into a bundle, from several threads at once.

    `ca_file` has CA certificates in PEM to trust in addition to the system's; without one, raises UsageError. `login` is the user and
    password, as in a URL, for each origin that needs one. `pauses` are the seconds before each further attempt.
    """

    def __init__(
        self,
        bundle: Path,
        ca_file: Path | None,
        progress: Progress,
        *,
        logins: dict[str, str] | None = None,
        pauses: tuple[float, ...] = (1.0, 3.0, 9.0),
    ) -> None:
        self._bundle, self._progress, self._logins, self._pauses = bundle, progress, logins or {}, pauses
        self.stop = threading.Event()
        self._session = UnfollowedSession()
        self._session.trust_env = False  # no credentials from ~/.netrc, no other list of CAs
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.mount("https://", trusting(ca_file))
        self._session.mount("http://", HTTPAdapter())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def __call__(self, file: File) -> int:
        """Put a file into the bundle, and return its size. Raises DownloadError, OutputError, and Stopped."""
        self._progress.began(file)
        stored = False
        try:
            size = self._stored(file)
            stored = True
        except OSError as error:
            raise OutputError(
                "bundle-not-written",
                "could not write to the bundle ({reason})",
                where=str(self._bundle),
                todo="Free some disk space, or make the folder writable, then run the command again; it continues where it stopped",
                reason=error.strerror or type(error).__name__,
            ) from None
        finally:
            self._progress.ended(file, stored=stored)
        return size

    def _stored(self, file: File) -> int:
        partial = self._bundle / contents.PARTIAL / f"{file.sha256}-{file.file}"
        attempts = iter(self._pauses)
        resumes = True
        while True:
            try:
                self._fetch(file, partial, resumes=resumes)
                break
            except _FromTheBeginning:
                partial.unlink(missing_ok=True)
                resumes = False
            except DownloadError as error:
                pause = next(attempts, None) if _may_pass(error) else None
                if pause is None:
                    raise
                resumes = True
                self._progress.waits(file, error.what, pause)
                if self.stop.wait(pause):
                    raise Stopped from None
        target = self._bundle / file.path
        target.parent.mkdir(exist_ok=True)
        size = partial.stat().st_size
        partial.replace(target)
        return size

    def _fetch(self, file: File, partial: Path, *, resumes: bool) -> None:
        """Complete the partial file, and compare its hash. Raises _FromTheBeginning at most if it `resumes`."""
        begin = _size(partial) if resumes else 0
        if begin > (file.size or contents.LARGEST):
            raise _FromTheBeginning
        if begin == 0 or begin != file.size:
            try:
                self._receive(file, partial, begin)
            except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
                raise _explained(error, file.url) from None
        digest = hashlib.sha256()
        with partial.open("rb") as found:
            start = found.read(512)
            digest.update(start)
            while block := found.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() == file.sha256:
            return
        partial.unlink()
        if begin:
            raise _FromTheBeginning
        if re.match(rb"\s*(<!doctype|<html|<\?xml)", start, re.IGNORECASE):
            raise _is_page(file.url)
        raise DownloadError(
            "download-other-hash",
            "the file has SHA-256 {actual}, expected {expected}; it was not kept",
            where=file.url,
            todo=_CHECK,
            actual=digest.hexdigest(),
            expected=file.sha256,
        )

    def _receive(self, file: File, partial: Path, begin: int) -> None:
        with self._follow(file.url, begin) as response:
            begin = _begin(response, file, begin)
            total = _total(response, file, begin)
            if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
                raise _is_page(file.url)
            with partial.open("ab" if begin else "wb") as out:
                out.truncate(begin)
                size = begin
                for chunk in self._chunks(response, file.url):
                    size += len(chunk)
                    if size > (total or file.size or contents.LARGEST):
                        raise _too_large(partial, file.url, total or file.size or contents.LARGEST)
                    out.write(chunk)
                    self._progress.received(file, size, total or file.size)
                out.flush()
                os.fsync(out.fileno())
        if total is not None and size < total:
            raise DownloadError(
                "download-truncated",
                "the connection was lost after {done} of {total} bytes",
                where=file.url,
                todo=_AGAIN,
                done=size,
                total=total,
            )

    def _chunks(self, response: requests.Response, url: str) -> Iterator[bytes]:
        """Yield what arrives. Raises Stopped, and DownloadError for a server that sends next to nothing."""
        since, received = time.monotonic(), 0
        for chunk in response.raw.stream(_BLOCK, decode_content=False):
            if self.stop.is_set():
                raise Stopped
            yield chunk
            received += len(chunk)
            if time.monotonic() - since > _WINDOW_SECONDS:
                if received < _SLOWEST * _WINDOW_SECONDS:
                    raise DownloadError(
                        "download-slow", "the server sent only {size} bytes in a minute", where=url, todo=_AGAIN, size=received
                    )
                since, received = time.monotonic(), 0

    def _follow(self, url: str, begin: int) -> requests.Response:
        """Return the response at the end of the redirects, which never lead from https to http."""
        target = url
        for _ in range(_MOST_REDIRECTS + 1):
            proxy = proxy_for(target)
            headers = {"User-Agent": f"nbserver/{__version__}", "Accept-Encoding": "identity"}
            response = self._session.get(
                target,
                headers=headers | ({"Range": f"bytes={begin}-"} if begin else {}),
                auth=self._login(target),
                proxies={"https": proxy, "http": proxy} if proxy else {},
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                allow_redirects=False,
                stream=True,
            )
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            response.close()
            following = urljoin(target, response.headers.get("Location", ""))
            if urlsplit(following).scheme not in ("https", urlsplit(target).scheme) or urlsplit(following).username is not None:
                raise DownloadError(
                    "source-redirect-refused", "the server responded with a redirect to a URL that is not allowed", where=url
                )
            target = following
        raise DownloadError(
            "source-too-many-redirects", "the server responded with more than {limit} redirects", where=url, limit=_MOST_REDIRECTS
        )

    def _login(self, url: str) -> tuple[str, str] | None:
        parts = urlsplit(url)
        user, separator, password = self._logins.get(f"{parts.scheme}://{parts.netloc}", "").partition(":")
        return (unquote(user), unquote(password)) if separator else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _begin(response: requests.Response, file: File, asked: int) -> int:
    """Return the offset at which the response begins. Raises _FromTheBeginning and DownloadError for a response without the file."""
    if response.status_code == 200:
        return 0
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)", response.headers.get("Content-Range", ""))
        if asked and match and int(match[1]) == asked and match[2] in ("*", str(file.size or match[2])):
            return asked
        if asked:
            raise _FromTheBeginning
        raise DownloadError(
            "download-wrong-part", "the server sent a different part of the file than requested", where=file.url, todo=_CHECK
        )
    if asked and response.status_code == 416:
        raise _FromTheBeginning
    if response.status_code in _PASSING:
        raise DownloadError(
            "download-busy", "the server responded with HTTP status {status}", where=file.url, todo=_AGAIN, status=response.status_code
        )
    raise DownloadError(
        "download-http-status",
        "the server responded with HTTP status {status}",
        where=file.url,
        todo="Run nbserver catalog check, and correct the catalog or packages.index_url",
        status=response.status_code,
    )


def _total(response: requests.Response, file: File, begin: int) -> int | None:
    """Return the size that the server announces for the whole file. Raises DownloadError if it cannot be right."""
    announced = response.headers.get("Content-Length", "")
    if not re.fullmatch(r"[0-9]{1,15}", announced):
        return None
    total = begin + int(announced)
    if file.size is not None and total != file.size:
        raise DownloadError(
            "download-other-size",
            "the server announces {actual} bytes, expected {expected}",
            where=file.url,
            todo=_CHECK,
            actual=total,
            expected=file.size,
        )
    if total > contents.LARGEST:
        raise DownloadError(
            "download-too-large",
            "the file is larger than {limit} bytes; it was not kept",
            where=file.url,
            todo=_CHECK,
            limit=contents.LARGEST,
        )
    return total


def _too_large(partial: Path, url: str, limit: int) -> DownloadError:
    with suppress(OSError):
        partial.unlink()
    return DownloadError(
        "download-too-large", "the file is larger than {limit} bytes; it was not kept", where=url, todo=_CHECK, limit=limit
    )


def _is_page(url: str) -> DownloadError:
    return DownloadError(
        "download-is-page",
        "the server sent a web page instead of the file",
        where=url,
        todo="Open the URL in a browser: a proxy may ask for a login, or the publisher may have moved the file",
    )


def _explained(error: Exception, url: str) -> DownloadError:
    found = explain(error, url)
    return DownloadError(
        "download-no-file",
        "{reason}",
        where=url,
        todo="Check the network and the proxy (HTTPS_PROXY, NO_PROXY). If a proxy intercepts TLS, specify its CA certificate with --ca-file",
        reason=Message(found.code, found.template, found.values),
    )


def _may_pass(error: DownloadError) -> bool:
    reason = error.values.get("reason")
    return (reason.code if isinstance(reason, Message) else error.code) in _MAY_PASS
