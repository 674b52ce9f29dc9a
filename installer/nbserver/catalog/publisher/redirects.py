"""Redirects on the way to a file: to any host, but only a few, and never from https to another scheme."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import requests

from nbserver.base.errors import DownloadError

_MOST = 5


def followed(url: str, send: Callable[[str], requests.Response]) -> requests.Response:
    """Return the first response that is not a redirect. `send` asks for a URL and follows none. Raises DownloadError."""
    target = url
    for _ in range(_MOST + 1):
        response = send(target)
        if response.status_code not in (301, 302, 303, 307, 308):
            return response
        response.close()
        following = _location(target, response.headers.get("Location", ""))
        if following is None:
            raise DownloadError(
                "source-redirect-refused",
                "the server responded with a redirect to a URL that is not allowed",
                where=url,
                todo="Check the URL, or use a mirror",
            )
        target = following
    raise DownloadError(
        "source-too-many-redirects",
        "the server responded with more than {limit} redirects",
        where=url,
        todo="Check the URL, or use a mirror",
        limit=_MOST,
    )


def _location(url: str, text: str) -> str | None:
    """Return the URL to which a redirect leads, or None if it is not valid or not allowed."""
    try:
        following = urljoin(url, text)
        parts = urlsplit(following)
        allowed = parts.scheme in ("https", urlsplit(url).scheme) and parts.username is None and parts.port != 0
    except ValueError:  # a bracket without its pair, or a port that no server has
        return None
    return following if allowed else None
