"""The notebook server's login and REST API over HTTPS, as a browser uses them: cookies, `_xsrf`, and kernels.

The sequence is the same for notebook 7.6, 6.5, and 6.4. Redirects are not followed. A proxy from the environment is used with
CONNECT: it forwards TLS and does not see the password.
"""

from __future__ import annotations

import json
import re
import secrets
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import requests

from nbserver.base.dialing import dial_with
from nbserver.base.errors import UsageError, VerifyError
from nbserver.base.message import Described, Message, message
from nbserver.base.pinned_tls import PinnedAdapter, SystemTrustAdapter, proxy_for

if TYPE_CHECKING:
    from typing import Self

    from nbserver.base.allowance import Allowance
    from nbserver.base.dialing import Dial

REQUEST_SECONDS = 30.0
_START_ATTEMPTS = 2
_STOP_ATTEMPTS = 5
_KERNEL_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_LONGEST_KERNEL = 64 * 1024
_PROTECTED = ("/api/kernels", "/api/contents")
NOT_A_NOTEBOOK = "Check address, notebook.port, and public_url in the inventory: another server may be using this address"
IF_DAMAGED = "To find missing or damaged packages, run nbserver plan --thorough. To reinstall them, run nbserver apply --repair"
_USE_A_URL = "Use a URL such as https://notebooks.example.com or https://192.0.2.7:9999"
STOP = message(
    "stop-notebook-server",
    "Stop the notebook server immediately, then run nbserver apply, which starts it with only nbserver's configuration",
)


@dataclass(frozen=True)
class Address:
    """The address of the notebook server. `path` is "", or begins with a slash and does not end with one.

    `dial` opens the connections to the server, if jump hosts are on the way, or if it is on this machine.
    """

    host: str
    port: int
    path: str = ""
    dial: Dial | None = None

    @property
    def netloc(self) -> str:
        """Host and port as in a Host header: IPv6 in brackets, without port 443."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    @property
    def proxy(self) -> str | None:
        """The proxy in the environment. None is used behind a jump host, or for this machine."""
        return None if self.dial else proxy_for(self.url)

    @property
    def origin(self) -> str:
        return f"https://{self.netloc}"

    @property
    def url(self) -> str:
        return self.origin + self.path

    @classmethod
    def parse(cls, url: str) -> Address:
        """Return the address of an `https://` URL without credentials; the default port is 443. Raises UsageError."""
        try:
            parts = urlsplit(url)
            port = 443 if parts.port is None else parts.port
        except ValueError:
            raise UsageError("notebook-url-invalid", "the URL of the notebook server is not valid", todo=_USE_A_URL) from None
        if parts.scheme != "https" or not parts.hostname or not port:
            raise UsageError(
                "notebook-url-not-https", "the URL of the notebook server must be an https:// URL with a host", todo=_USE_A_URL
            )
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise UsageError(
                "notebook-url-not-plain",
                "the URL of the notebook server must not contain credentials, a query, or a fragment",
                todo=_USE_A_URL,
            )
        return cls(parts.hostname, port, parts.path.rstrip("/"))


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class _Session(requests.Session):
    """Ignores redirects: requests would decompress the body of a redirect even if it does not follow it."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class NotebookClient:
    """A browser's session with one notebook server.

    Every method raises VerifyError if the response is not the expected one, and FingerprintMismatch, TooMuch, or an exception of
    requests if there is no complete response. None of them contains the password.

    `host` is the name in the inventory. If `fingerprint` is None, the system's trust store decides about the certificate.
    `allowance` limits every response. `stop` is the advice for a server with open access.
    """

    def __init__(self, address: Address, *, host: str, fingerprint: str | None, allowance: Allowance, stop: Described = STOP) -> None:
        self.address = address
        self.host = host
        self.proxy = address.proxy
        self._allowance = allowance
        self._stop = stop
        self._session = _Session()
        self._session.trust_env = False  # no credentials from ~/.netrc, no other CA list
        self._session.proxies = {"https": self.proxy} if self.proxy else {}
        self._session.headers["Accept-Encoding"] = "identity"  # the size of a compressed response is unknown
        self._session.adapters.clear()  # no http:// at all
        adapter = SystemTrustAdapter(allowance=allowance) if fingerprint is None else PinnedAdapter(fingerprint, allowance=allowance)
        self._session.mount("https://", adapter)
        dial_with(self._session, address.dial)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._session.close()

    def expect_anonymous_refused(self) -> None:
        """Check that kernels and files are inaccessible without a login."""
        for path in _PROTECTED:
            self._expect_refused(
                self._send("GET", path).status,
                message("request-without-login", "GET {path} without logging in", path=path),
                message("server-without-password", "the server accepts requests without a password"),
            )

    def expect_any_token_refused(self) -> None:
        """Check that a random token, in the header or in the URL, is rejected."""
        token = secrets.token_urlsafe(24)
        open_to_all = message("server-with-any-token", "the server accepts any token instead of the password")
        for path in _PROTECTED:
            status = self._send("GET", path, headers={"Authorization": f"token {token}"}).status
            request = message("request-with-token-in-header", "GET {path} with an invalid token in the header", path=path)
            self._expect_refused(status, request, open_to_all)
            status = self._send("GET", path, params={"token": token}).status
            request = message("request-with-token-in-address", "GET {path} with an invalid token in the URL", path=path)
            self._expect_refused(status, request, open_to_all)

    def expect_wrong_password_refused(self) -> None:
        """Check that a random password is answered with 401."""
        status = self._post_login(secrets.token_urlsafe(24)).status
        if status == 302:
            raise VerifyError(
                "any-password-accepted", "the server accepts any password", host=self.host, todo="{advice}", advice=self._stop
            )
        if status != 401:
            raise self._unexpected(message("wrong-login", "a login request with a wrong password"), status, "401")

    def login(self, password: str) -> None:
        """Log in, and check that the session's cookie gives access to `GET /api/status`."""
        status = self._post_login(password).status
        if status == 401:
            raise VerifyError(
                "password-rejected",
                "the server rejected the password",
                host=self.host,
                todo="Check that notebook.password in the inventory is the password that the last nbserver apply set",
            )
        if status != 302:
            raise self._unexpected(message("login", "the login request"), status, "302")
        status = self._send("GET", "/api/status").status
        if status != 200:
            raise self._unexpected(message("status-after-login", "GET /api/status after logging in"), status, "200")

    def start_kernel(self, *, seconds: float) -> tuple[str, int]:
        """Start a Python kernel, and return its ID and the number of attempts. On a busy host, the first attempt can fail with 500."""
        tries = 1
        while (
            answer := self._send("POST", "/api/kernels", json={"name": "python3"}, seconds=seconds)
        ).status >= 500 and tries < _START_ATTEMPTS:
            tries += 1
            time.sleep(1)
        if answer.status >= 500:
            raise VerifyError(
                "kernel-not-started",
                "the server could not start a kernel (HTTP status {status})",
                host=self.host,
                todo=IF_DAMAGED,
                status=answer.status,
            )
        if answer.status != 201:
            raise self._unexpected("POST /api/kernels", answer.status, "201")
        kernel = _kernel_id(answer.body)
        if kernel is None:
            raise VerifyError(
                "kernel-without-id",
                "the response to POST /api/kernels does not contain a valid kernel ID",
                host=self.host,
                todo=NOT_A_NOTEBOOK,
            )
        return kernel, tries

    def stop_kernel(self, kernel: str) -> None:
        """Shut down the kernel. jupyter_server 2.21 answers 500 while it restarts a dead kernel, so the request is repeated."""
        for attempt in range(_STOP_ATTEMPTS):
            status = self._send("DELETE", f"/api/kernels/{quote(kernel, safe='')}").status
            if status == 204 or (status == 404 and attempt):
                return
            if status < 500:
                break
            time.sleep(1)
        raise self._unexpected("DELETE /api/kernels/ID", status, "204")

    def cookies_for(self, path: str) -> str:
        """Return the Cookie header that a browser sends to this path."""
        prepared = self._session.prepare_request(requests.Request("GET", self.address.url + path))
        return str(prepared.headers.get("Cookie") or "")

    def _post_login(self, password: str) -> Answer:
        page = self._send("GET", "/login")
        if page.status != 200 or not self._xsrf():
            raise self._unexpected("GET /login", page.status, message("status-and-cookie", "200 with an _xsrf cookie"))
        form = {"password": password, "_xsrf": self._xsrf()}
        return self._send("POST", "/login", params={"next": f"{self.address.path}/api/status"}, data=form)

    def _xsrf(self) -> str:
        return next((cookie.value or "" for cookie in self._session.cookies if cookie.name == "_xsrf"), "")

    def _send(
        self, method: str, path: str, *, seconds: float | None = None, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """Return the complete response. It may take `seconds`, or REQUEST_SECONDS, from connecting to the last byte."""
        headers = {"Origin": self.address.origin, **(headers or {})}
        if xsrf := self._xsrf():
            headers["X-XSRFToken"] = xsrf
        seconds = REQUEST_SECONDS if seconds is None else seconds
        self._allowance.exchange(seconds)
        connect_and_read = (min(REQUEST_SECONDS, self._allowance.left()), seconds)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "http.cookiejar bug!")  # http.cookiejar prints a traceback for an invalid cookie
            response = self._session.request(
                method, self.address.url + path, headers=headers, timeout=connect_and_read, allow_redirects=False, stream=True, **options
            )
        with response:
            if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                raise VerifyError(
                    "response-encoded",
                    "the response to {method} {path} has a content encoding that was not requested",
                    host=self.host,
                    todo=NOT_A_NOTEBOOK,
                    method=method,
                    path=path,
                )
            return Answer(response.status_code, response.content)

    def _expect_refused(self, status: int, what: Message, open_to_all: Message) -> None:
        if 200 <= status < 300:
            raise VerifyError(
                "server-open",
                "anyone can use the server: {reason} ({request} returned HTTP status {status})",
                host=self.host,
                todo="{advice}",
                reason=open_to_all,
                request=what,
                status=status,
                advice=self._stop,
            )
        if status not in (401, 403):
            raise self._unexpected(what, status, "403")

    def _unexpected(self, what: Described | str, status: int, expected: Described | str) -> VerifyError:
        return VerifyError(
            "response-unexpected",
            "{request} returned HTTP status {actual}, expected {expected}",
            host=self.host,
            todo=NOT_A_NOTEBOOK,
            request=what,
            expected=expected,
            actual=status,
        )


def _kernel_id(body: bytes) -> str | None:
    """Return the ID in the response to POST /api/kernels, or None if it cannot be part of a URL."""
    if len(body) > _LONGEST_KERNEL:
        return None
    try:
        kernel = json.loads(body)["id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return kernel if isinstance(kernel, str) and _KERNEL_ID.fullmatch(kernel) else None
