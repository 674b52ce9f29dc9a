"""TLS connections to a known certificate: its SHA-256 fingerprint is compared before anything is sent.

A pin replaces the chain of trust: only the certificate itself is checked, not its issuer, name and validity.
Without a pin, the trust store of the operating system (on Linux also `SSL_CERT_FILE`) and the name are checked.
"""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter

from nbserver.base.allowance import keep_to
from nbserver.base.errors import CertificateError
from nbserver.base.message import Cause, DescribedError, Message, Portable
from nbserver.base.plain_text import clean

if TYPE_CHECKING:
    from nbserver.base.allowance import Allowance
    from nbserver.base.dialing import Dial

_FINGERPRINT = re.compile(r"(?:sha256:)?([0-9a-f]{2}(?::?[0-9a-f]{2}){31})", re.IGNORECASE)
_LONGEST_PROXY_ANSWER = 16 * 1024
_LONGEST_STATUS = 20


class FingerprintMismatch(Portable, Exception):
    """The server showed a different certificate than the pinned one. Nothing was sent to it.

    `expected` and `actual` are fingerprints in the format of `fingerprint_of`; `actual` is "" if none was shown.
    """

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"the server presented a different certificate: expected {expected}, got {actual or 'none'}")
        self.expected = expected
        self.actual = actual

    def for_host(self, host: str, *, where: str = "", advice: Message) -> CertificateError:
        """Return the mismatch as an error for the user. `advice` is what to do."""
        return CertificateError(
            "other-certificate",
            "the server presented a different certificate: expected {expected}, got {actual}",
            host=host,
            where=where,
            todo="{advice}",
            expected=self.expected,
            actual=self.actual or None,
            advice=advice,
        )


class ProxyRefused(Cause, OSError):
    """The proxy did not open a tunnel."""


def fingerprint_of(der: bytes) -> str:
    """Return the fingerprint of a certificate in DER: "SHA256:" and 64 lower-case hex digits."""
    return f"SHA256:{hashlib.sha256(der).hexdigest()}"


def normalize(text: str) -> str:
    """Return a fingerprint in the format of `fingerprint_of`, from one with upper case, colons or without "SHA256:".

    Raises ValueError if the text is not a SHA-256 fingerprint.
    """
    found = _FINGERPRINT.fullmatch(text.strip())
    if not found:
        raise DescribedError("fingerprint-malformed", "expected SHA256: followed by 64 hex digits, with optional colons between bytes")
    return f"SHA256:{found[1].replace(':', '').lower()}"


def _hex(fingerprint: str) -> str:
    return fingerprint.partition(":")[2]


class PinnedAdapter(HTTPAdapter):
    """An adapter for a requests session that only communicates with a server that has this certificate.

    urllib3 compares it after the handshake and before it sends a byte of the request, also through a proxy. `verify` of the session
    and REQUESTS_CA_BUNDLE are ignored. An `allowance` limits the server. Raises FingerprintMismatch.
    """

    def __init__(self, fingerprint: str, *, allowance: Allowance | None = None, **options: Any) -> None:
        self.fingerprint = normalize(fingerprint)
        self._options: dict[str, Any] = {"assert_fingerprint": _hex(self.fingerprint)}
        if allowance is not None:
            self._options["ssl_context"] = tls_context(self.fingerprint, allowance)
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        options.update(self._options)
        super().init_poolmanager(*args, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, **options, **self._options)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        if not (request.url or "").lower().startswith("https://"):
            raise requests.exceptions.InvalidSchema("a pinned connection must use HTTPS")
        try:
            return super().send(request, stream=stream, timeout=timeout, verify=False, cert=cert, proxies=proxies)
        except requests.exceptions.SSLError as error:
            if "Fingerprints did not match" not in str(error):
                raise
            shown = set(re.findall(r"\b[0-9a-f]{64}\b", str(error))) - {_hex(self.fingerprint)}
            raise FingerprintMismatch(self.fingerprint, f"SHA256:{shown.pop()}" if shown else "") from None


class SystemTrustAdapter(HTTPAdapter):
    """An adapter for a requests session that uses the trust store of the operating system, like a browser.

    By default, requests uses the list of the package certifi, which does not include the CA of a company. An `allowance` limits the
    server.
    """

    def __init__(self, *, allowance: Allowance | None = None, **options: Any) -> None:
        self._trust = self._context(allowance)
        super().__init__(**options)

    def _context(self, allowance: Allowance | None) -> ssl.SSLContext:
        return tls_context(None, allowance)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._trust)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, **options, ssl_context=self._trust)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"


def tls_context(fingerprint: str | None, allowance: Allowance | None = None, authorities: str | None = None) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or later. With a fingerprint, the caller compares it; without one, the trust store is used, or the
    `authorities` in PEM. Raises ssl.SSLError if these have no certificate.

    With an allowance, the sockets of the context enforce its limits.
    """
    context = ssl.create_default_context(cadata=authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context if allowance is None else keep_to(allowance, context)


def connect(
    host: str,
    port: int,
    *,
    fingerprint: str | None,
    timeout: float,
    server_name: str | None = None,
    proxy: str | None = None,
    dial: Dial | None = None,
    allowance: Allowance | None = None,
) -> ssl.SSLSocket:
    """Return a TLS connection to `host` (name or address, IPv6 without brackets) whose certificate was checked.

    `timeout` is in seconds for each of the connection, the response of the proxy and the handshake, and stays set on the socket.
    `server_name` is the name for SNI and, without a fingerprint, the name that the certificate must have (default: the host). `proxy`
    is an `http://` URL; `dial` opens the connection in its place. The socket enforces the limits of the `allowance`. Raises FingerprintMismatch, ssl.SSLError and OSError.
    """
    expected = None if fingerprint is None else normalize(fingerprint)
    raw = dial(timeout) if dial else _open(host, port, timeout, proxy)
    try:
        tls = tls_context(expected, allowance).wrap_socket(raw, server_hostname=server_name or host)
    except BaseException:
        raw.close()
        raise
    actual = fingerprint_of(tls.getpeercert(binary_form=True) or b"")
    if expected is not None and actual != expected:
        tls.close()
        raise FingerprintMismatch(expected, actual)
    return tls


def certificate_at(
    host: str, port: int, *, timeout: float, proxy: str | None = None, server_name: str | None = None, dial: Dial | None = None
) -> bytes:
    """Return the certificate (DER) that a server shows, without checking it. Nothing but the handshake is sent.

    `server_name` is the name for SNI (default: the host). `dial` opens the connection, if that is not done by address.
    """
    with (
        dial(timeout) if dial else _open(host, port, timeout, proxy) as raw,
        tls_context("unchecked").wrap_socket(raw, server_hostname=server_name or host) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def proxy_for(url: str) -> str | None:
    """Return the proxy for this URL from the environment (HTTPS_PROXY, NO_PROXY, settings of Windows), or None."""
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy or None


def _open(host: str, port: int, timeout: float, proxy: str | None) -> socket.socket:
    if proxy is None:
        return socket.create_connection((host, port), timeout)
    parts = urlsplit(proxy)
    if parts.scheme != "http" or not parts.hostname:
        raise ProxyRefused("proxy-not-http", "the proxy URL begins with {scheme}://, expected http://", scheme=parts.scheme)
    try:
        proxy_port = parts.port or 80
    except ValueError:
        raise ProxyRefused("proxy-port-invalid", "the port number of the proxy {proxy} is not valid", proxy=parts.hostname) from None
    try:
        raw = socket.create_connection((parts.hostname, proxy_port), timeout)
    except OSError as error:
        raise ProxyRefused(
            "proxy-not-reached",
            "the proxy {proxy} could not be reached ({reason})",
            proxy=f"{parts.hostname}:{proxy_port}",
            reason=error.strerror or type(error).__name__,
        ) from None
    try:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}")
        raw.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        answer = b""
        end = time.monotonic() + timeout
        while not answer.endswith(b"\r\n\r\n"):
            if time.monotonic() >= end:
                raise TimeoutError("the proxy did not respond completely in time")
            raw.settimeout(timeout)
            byte = raw.recv(1)
            if not byte or len(answer) >= _LONGEST_PROXY_ANSWER:
                raise ProxyRefused("proxy-no-http-response", "the proxy {proxy} did not send a valid HTTP response", proxy=parts.hostname)
            answer += byte
        status = answer.split(b"\r\n", 1)[0].split(b" ")[1:2]
        if status != [b"200"]:
            code = clean(b"".join(status).decode("ascii", "replace"), _LONGEST_STATUS)
            raise ProxyRefused(
                "proxy-refused",
                "the proxy {proxy} refused to connect to {target} (HTTP status {status})",
                proxy=parts.hostname,
                target=target,
                status=code,
            )
    except BaseException:
        raw.close()
        raise
    return raw
