"""Ask whether the files of a catalog are still at their URLs: the headers only, a few files at once, with limits for the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter

from nbserver import __version__
from nbserver.base.errors import DownloadError
from nbserver.base.pinned_tls import proxy_for
from nbserver.catalog.publisher import redirects
from nbserver.catalog.publisher.download import TrustingAdapter, UnfollowedSession, explain, trusting
from nbserver.catalog.publisher.time_limit import within

AT_ONCE = 4
_CONNECT_SECONDS, _READ_SECONDS, _WHOLE_SECONDS = 10.0, 15.0, 40.0
_NO_HEAD = (403, 405, 501)  # some servers refuse to send headers alone


@dataclass(frozen=True)
class Answer:
    """What a server said about a file: the HTTP status and the size in bytes, or why there is no answer."""

    url: str
    status: int | None = None
    size: int | None = None
    error: DownloadError | None = None

    @property
    def is_there(self) -> bool:
        return self.status in (200, 206)

    @property
    def is_gone(self) -> bool:
        return self.status in (404, 410)


def ask(
    urls: Iterable[str], ca_file: Path | None, *, whole_seconds: float = _WHOLE_SECONDS, shown: Callable[[str], object] = lambda url: None
) -> dict[str, Answer]:
    """Return the answer for each URL, in their order. Raises UsageError for a `ca_file` without certificates."""
    adapter = trusting(ca_file)
    wanted = list(dict.fromkeys(urls))

    def one(url: str) -> Answer:
        shown(url)
        return _within(whole_seconds, url, adapter)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(one, wanted), strict=True))


def _within(seconds: float, url: str, adapter: TrustingAdapter) -> Answer:
    try:
        return within(seconds, lambda: _follow(url, adapter))
    except Exception as error:  # a library can raise anything for a response that is not valid
        return Answer(url, error=error if isinstance(error, DownloadError) else explain(error, url))


def _follow(url: str, adapter: TrustingAdapter) -> Answer:
    """Follow redirects, as the hosts' downloads do, but never from https to another scheme."""
    with UnfollowedSession() as session:
        session.trust_env = False  # no credentials from ~/.netrc
        session.adapters.clear()
        session.mount("https://", adapter)
        session.mount("http://", HTTPAdapter())
        method = "HEAD"

        def send(target: str) -> requests.Response:
            nonlocal method
            response = _send(session, method, target)
            if response.status_code in _NO_HEAD and method == "HEAD":
                method = "GET"
                response = _send(session, method, target)
            return response

        response = redirects.followed(url, send)
        return Answer(url, response.status_code, _size(response))


def _send(session: requests.Session, method: str, url: str) -> requests.Response:
    """Return the response without its body, of which GET requests one byte."""
    proxy = proxy_for(url)
    headers = {"User-Agent": f"nbserver/{__version__}", "Accept-Encoding": "identity"}
    with session.request(
        method,
        url,
        headers=headers | ({"Range": "bytes=0-0"} if method == "GET" else {}),
        proxies={"https": proxy, "http": proxy} if proxy else {},
        timeout=(_CONNECT_SECONDS, _READ_SECONDS),
        allow_redirects=False,
        stream=True,
    ) as response:
        return response


def _size(response: requests.Response) -> int | None:
    """Return the size of the whole file: Content-Range of a part has it after the slash."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2] if response.status_code == 206 else None
    text = text if text is not None else response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
