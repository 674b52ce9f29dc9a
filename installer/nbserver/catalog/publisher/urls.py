"""The URLs of an index that are followed: only HTTPS, and only on the hosts of the publisher or the mirror of the site."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from nbserver.base.message import DescribedError
from nbserver.settings import types

_PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._+~-]*)*/?")
# github.com redirects a file of a repository to the host that serves it
_REDIRECTS = {("https://github.com", "https://raw.githubusercontent.com")}


@dataclass(frozen=True)
class Publisher:
    """`index` is the URL of its index, or of a mirror. `files` is the prefix of the URLs of its files."""

    index: str
    files: str
    mirrored: bool


def python_org(base: str | None) -> Publisher:
    """Return python.org, or its mirror at `base` (https://www.python.org/ftp/python/). Raises ValueError with the reason."""
    own = "https://www.python.org/ftp/python/"
    return Publisher(checked(base).rstrip("/") + "/" if base else own, own, base is not None)


def slproweb(index: str | None) -> Publisher:
    """Return slproweb.com, or its mirror; `index` is the URL of its list of hashes. Raises ValueError with the reason."""
    own = "https://github.com/slproweb/opensslhashes/raw/master/win32_openssl_hashes.json"
    return Publisher(checked(index) if index else own, "https://slproweb.com/download/", index is not None)


def checked(url: str) -> str:
    """Return a plain https URL: no credentials, query, escapes or `..`. Raises ValueError with the reason, not the URL."""
    types.url(url, "https", path=True)
    if len(url) > 500:
        raise DescribedError("url-too-long", "must not be longer than 500 characters")
    if not url.startswith("https://"):
        raise DescribedError("url-not-https", "must begin with https://")
    if not _PATH.fullmatch(urlsplit(url).path):
        raise DescribedError(
            "url-path-not-plain",
            "the path must not contain an empty component, a component that begins with a dot, or a percent-encoded character",
        )
    return url


def origin(url: str) -> str:
    """Return the scheme, host and port of a checked URL, without port 443."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, 443) else "")


def file_url(url: str, publisher: Publisher) -> str:
    """Return the URL of a file if it is one of the publisher's, or the mirror's. Raises ValueError with the reason."""
    checked(url)
    if url.startswith(publisher.files) or (publisher.mirrored and origin(url) == origin(publisher.index)):
        return url
    if publisher.mirrored:
        raise DescribedError(
            "url-outside-mirror", "must begin with {files} or {mirror}/", files=publisher.files, mirror=origin(publisher.index)
        )
    raise DescribedError("url-outside-publisher", "must begin with {files}", files=publisher.files)


def next_page(page: str, name: str) -> str:
    """Return the URL of the page that follows `page`. Raises ValueError with the reason."""
    if not re.fullmatch(r"[!-~]+", name) or ".." in name.split("/"):
        raise DescribedError("url-not-a-page", "must be the file name or URL of the next page")
    url = checked(urljoin(page, name))
    if origin(url) != origin(page):
        raise DescribedError("url-other-host", "must not point to another host")
    return url


def redirected(url: str, location: str) -> str:
    """Return the target of a redirect: on the same host, or from github.com to the host of its files. Raises ValueError."""
    target = checked(urljoin(url, location))
    if origin(target) != origin(url) and (origin(url), origin(target)) not in _REDIRECTS:
        raise DescribedError("redirect-to-other-host", "the redirect leads to a different host, {origin}", origin=origin(target))
    return target
