"""Which URLs of an index are followed: HTTPS only, and only where its publisher, or the site's mirror, keeps its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from nbserver.settings import types

_PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._+~-]*)*/?")
# github.com answers for a file of a repository with a redirect to the host that keeps them
_REDIRECTS = {("https://github.com", "https://raw.githubusercontent.com")}


@dataclass(frozen=True)
class Publisher:
    """`index` is where its index is read: its own URL, or a site's. `files` is the beginning of all URLs of its files."""

    index: str
    files: str
    mirrored: bool


def python_org(base: str | None) -> Publisher:
    """`base` is a mirror's copy of https://www.python.org/ftp/python/. Raises ValueError with the reason."""
    own = "https://www.python.org/ftp/python/"
    return Publisher(checked(base).rstrip("/") + "/" if base else own, own, base is not None)


def slproweb(index: str | None) -> Publisher:
    """`index` is the URL of a copy of the publisher's list of hashes. Raises ValueError with the reason."""
    own = "https://github.com/slproweb/opensslhashes/raw/master/win32_openssl_hashes.json"
    return Publisher(checked(index) if index else own, "https://slproweb.com/download/", index is not None)


def checked(url: str) -> str:
    """Return a plain https URL: no credentials, query, escapes or `..`. Raises ValueError with the reason, not the URL."""
    types.url(url, "https", path=True)
    if len(url) > 500:
        raise ValueError("it is longer than 500 characters")
    if not url.startswith("https://"):
        raise ValueError("it does not begin with https://")
    if not _PATH.fullmatch(urlsplit(url).path):
        raise ValueError("its path holds an empty part, a part that begins with a dot, or an escape")
    return url


def origin(url: str) -> str:
    """Scheme, host and port of a checked URL; the port 443 is left out."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, 443) else "")


def file_url(url: str, publisher: Publisher) -> str:
    """Return the URL of a file if it is one of the publisher's, or the mirror's. Raises ValueError with the reason."""
    checked(url)
    if url.startswith(publisher.files) or (publisher.mirrored and origin(url) == origin(publisher.index)):
        return url
    raise ValueError(f"it is not below {publisher.files}" + (f" or {origin(publisher.index)}/" if publisher.mirrored else ""))


def next_page(page: str, name: str) -> str:
    """Return the URL of the page that `page` names as its next. Raises ValueError with the reason."""
    if not re.fullmatch(r"[!-~]+", name) or ".." in name.split("/"):
        raise ValueError("it is not a name or URL of a page")
    url = checked(urljoin(page, name))
    if origin(url) != origin(page):
        raise ValueError("it leads to another host")
    return url


def redirected(url: str, location: str) -> str:
    """Return where a redirect leads: the same host, or from github.com to the host of its files. Raises ValueError."""
    target = checked(urljoin(url, location))
    if origin(target) != origin(url) and (origin(url), origin(target)) not in _REDIRECTS:
        raise ValueError(f"it leads to {origin(target)}")
    return target
