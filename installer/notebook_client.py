"""The notebook server's login and REST interface over HTTPS, as a browser uses it: cookies, `_xsrf`, kernels.

The sequence is the same on notebook 7.6, 6.5 and 6.4. No redirect is followed.
A proxy that the environment names is used with CONNECT: it carries TLS and sees no password.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import requests

from installer.errors import UsageError, VerifyError
from installer.pinned_tls import PinnedAdapter, SystemTrustAdapter, proxy_for

if TYPE_CHECKING:
    from typing_extensions import Self

REQUEST_SECONDS = 30.0
_START_ATTEMPTS = 2
_STOP_ATTEMPTS = 5
NOT_A_NOTEBOOK = "Compare address, port and public_url in the inventory: another server may answer there"


@dataclass(frozen=True)
class Address:
    """Where the notebook server is reached: `path` is "" or begins with a slash and ends without one."""

    host: str
    port: int
    path: str = ""

    @property
    def netloc(self) -> str:
        """Host and port as in a Host header: IPv6 in brackets, without the port 443."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"https://{self.netloc}"

    @property
    def url(self) -> str:
        return self.origin + self.path

    @classmethod
    def parse(cls, url: str) -> Address:
        """From an `https://` URL without credentials; the port is 443 where it has none. Raises UsageError."""
        todo = "Write it like https://notebooks.example.com or https://192.0.2.7:9999"
        try:
            parts = urlsplit(url)
            port = 443 if parts.port is None else parts.port
        except ValueError:
            raise UsageError("the notebook's URL cannot be read", todo=todo) from None
        if parts.scheme != "https" or not parts.hostname or not port:
            raise UsageError("the notebook's URL is no https:// URL with a host", todo=todo)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise UsageError("the notebook's URL holds credentials, a query or a fragment", todo=todo)
        return cls(parts.hostname, port, parts.path.rstrip("/"))


class NotebookClient:
    """A browser's session with one notebook server. Every method raises VerifyError where the answer is not the
    expected one, FingerprintMismatch or requests' exceptions where there is none; none of them holds the password.

    `host` is the name in the inventory. With `fingerprint` None the system's trust store decides about the certificate.
    """

    def __init__(self, address: Address, *, host: str, fingerprint: str | None) -> None:
        self.address = address
        self.host = host
        self.proxy = proxy_for(address.url)
        self._session = requests.Session()
        self._session.trust_env = False  # no credentials from ~/.netrc, no other list of authorities
        self._session.proxies = {"https": self.proxy} if self.proxy else {}
        self._session.adapters.clear()  # no http:// at all
        self._session.mount("https://", SystemTrustAdapter() if fingerprint is None else PinnedAdapter(fingerprint))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._session.close()

    def expect_anonymous_refused(self) -> None:
        """`GET /api/kernels` without a login answers 403."""
        status = self._send("GET", "/api/kernels").status_code
        if status == 200:
            what = "the kernels can be reached without a password"
            todo = "Stop the notebook server now; then set its password with nbserver apply"
            raise VerifyError(what, host=self.host, todo=todo)
        if status != 403:
            raise self._unexpected("GET /api/kernels without a login", status, "403")

    def expect_wrong_password_refused(self) -> None:
        """A random password answers 401."""
        response = self._post_login(secrets.token_urlsafe(24))
        if response.status_code == 302:
            todo = "Stop the notebook server now; then set its password with nbserver apply"
            raise VerifyError("the server accepts any password", host=self.host, todo=todo)
        if response.status_code != 401:
            raise self._unexpected("a login with a wrong password", response.status_code, "401")

    def login(self, password: str) -> None:
        """The password logs in, and the session's cookie opens `GET /api/status`."""
        response = self._post_login(password)
        if response.status_code == 401:
            todo = "Compare notebook.password in the inventory with the one of the last nbserver apply"
            raise VerifyError("the server refuses the password", host=self.host, todo=todo)
        if response.status_code != 302:
            raise self._unexpected("the login", response.status_code, "302")
        status = self._send("GET", "/api/status").status_code
        if status != 200:
            raise self._unexpected("GET /api/status after the login", status, "200")

    def start_kernel(self, *, seconds: float) -> tuple[str, int]:
        """Starts a Python kernel; its id, and at which try. A busy host may fail at the first one (500), as a person sees it too."""
        tries = 1
        while (response := self._send("POST", "/api/kernels", json={"name": "python3"}, seconds=seconds)).status_code >= 500 and tries < _START_ATTEMPTS:
            tries += 1
            time.sleep(1)
        if response.status_code != 201:
            raise self._unexpected("POST /api/kernels", response.status_code, "201")
        try:
            return str(response.json()["id"]), tries
        except (ValueError, KeyError, TypeError):
            raise VerifyError("the server started a kernel without an id", host=self.host) from None

    def stop_kernel(self, kernel: str) -> None:
        """Shuts the kernel down. jupyter_server 2.21 answers 500 while it restarts one that died, so it is asked again."""
        for attempt in range(_STOP_ATTEMPTS):
            status = self._send("DELETE", f"/api/kernels/{quote(kernel, safe='')}").status_code
            if status == 204 or (status == 404 and attempt):
                return
            if status < 500:
                break
            time.sleep(1)
        raise self._unexpected("DELETE /api/kernels/ID", status, "204")

    def cookies_for(self, path: str) -> str:
        """The Cookie header that a browser sends to this path."""
        prepared = self._session.prepare_request(requests.Request("GET", self.address.url + path))
        return str(prepared.headers.get("Cookie") or "")

    def _post_login(self, password: str) -> requests.Response:
        page = self._send("GET", "/login")
        if page.status_code != 200 or not self._xsrf():
            raise self._unexpected("GET /login", page.status_code, "200 and a cookie _xsrf")
        form = {"password": password, "_xsrf": self._xsrf()}
        return self._send("POST", "/login", params={"next": f"{self.address.path}/api/status"}, data=form)

    def _xsrf(self) -> str:
        return next((cookie.value or "" for cookie in self._session.cookies if cookie.name == "_xsrf"), "")

    def _send(self, method: str, path: str, *, seconds: float = REQUEST_SECONDS, **options: Any) -> requests.Response:
        headers = {"Origin": self.address.origin}
        if xsrf := self._xsrf():
            headers["X-XSRFToken"] = xsrf
        connect_and_read = (REQUEST_SECONDS, seconds)
        return self._session.request(
            method, self.address.url + path, headers=headers, timeout=connect_and_read, allow_redirects=False, **options
        )

    def _unexpected(self, what: str, status: int, expected: str) -> VerifyError:
        return VerifyError(f"{what} answered {status}, expected {expected}", host=self.host, todo=NOT_A_NOTEBOOK)
