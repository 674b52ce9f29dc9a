"""What is no notebook server, or cannot be reached: what each failure says."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import CertificateError, ConnectError, HostError, VerifyError
from tests.notebook_fixtures import certificate, no_proxies  # noqa: F401
from tests.notebook_server import (
    Certificate,
    free_port,
    make_certificate,
    web_server,
)
from tests.verify.checking import Run


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({}, "anonymous: GET /api/kernels without logging in returned HTTP status 404, expected 403"),
        (
            {"/api/kernels": (302, {"Location": "https://localhost:1/"})},
            "anonymous: GET /api/kernels without logging in returned HTTP status 302, expected 403",
        ),
        (
            {"/api/kernels": (403, {}), "/api/contents": (401, {})},
            "wrong_password: GET /login returned HTTP status 404, expected 200 with an _xsrf cookie",
        ),
        (
            {"/api/kernels": (403, {}), "/api/contents": (403, {}), "/login": (200, {"Set-Cookie": "_xsrf=1; Path=/"})},
            "wrong_password: a login request with a wrong password returned HTTP status 200, expected 401",
        ),
    ],
)
def test_a_web_server_that_is_no_notebook(certificate: Certificate, answers: dict[str, tuple[int, dict[str, str]]], reason: str) -> None:
    with web_server(certificate, answers) as port, pytest.raises(VerifyError) as refused:
        Run().verify(port, fingerprint=certificate.fingerprint)
    assert str(refused.value).startswith(f"box: verify: {reason}. ")


def test_a_server_that_takes_any_password_is_refused(certificate: Certificate) -> None:
    class AnyPassword(dict[str, tuple[int, dict[str, str]]]):
        asked = 0

        def get(self, path: str, default: Any = None) -> Any:
            if path != "/login":
                return (403, {})
            self.asked += 1
            return (200, {"Set-Cookie": "_xsrf=1; Path=/"}) if self.asked == 1 else (302, {"Location": "/tree"})

    with web_server(certificate, AnyPassword()) as port, pytest.raises(VerifyError, match="accepts any password"):
        Run().verify(port, fingerprint=certificate.fingerprint)


def test_a_server_without_tls(certificate: Certificate) -> None:
    with web_server(None, {}) as port, pytest.raises(ConnectError, match=r"certificate: .* does not speak TLS"):
        Run().verify(port, fingerprint=certificate.fingerprint)


def test_an_expired_certificate_is_refused_though_it_is_the_expected_one(tmp_path: Path) -> None:
    expired = make_certificate(tmp_path, ends_in_days=-1)
    with web_server(expired, {}) as port, pytest.raises(CertificateError, match=r"is valid only from .* browsers reject it"):
        Run().verify(port, fingerprint=expired.fingerprint)


def test_a_certificate_that_begins_later_says_what_the_clocks_are(tmp_path: Path) -> None:
    later = make_certificate(tmp_path, begins_in_days=1)
    with web_server(later, {}) as port, pytest.raises(CertificateError) as refused:
        Run().verify(port, fingerprint=later.fingerprint)
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    assert re.search(rf"is valid only from {time}, but the clock of this workstation shows {time}", str(refused.value))


def test_a_closed_port_and_an_unknown_name() -> None:
    port = free_port()
    with pytest.raises(ConnectError) as closed:
        Run().verify(port)
    assert str(closed.value).startswith(f"box: verify: certificate: 127.0.0.1:{port} refused the connection. ")
    for name in ("no-such-host.invalid", "a" * 64 + ".example.com"):
        with pytest.raises(ConnectError) as unknown:
            Run().verify(port, address=name)
        assert str(unknown.value).startswith(f"box: verify: certificate: this workstation could not resolve the name {name}. ")


def test_a_server_that_closes_at_once_and_a_proxy_that_refuses(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        with pytest.raises(ConnectError) as dropped:
            Run().verify(int(listener.getsockname()[1]))
        thread.join()
    assert isinstance(dropped.value, HostError)
    with web_server(None, {}) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:s3cret@127.0.0.1:{port}")
        with pytest.raises(ConnectError, match=r"the proxy 127.0.0.1 refused") as refused:
            Run().verify(9999, address="win1.example.com")
    assert "s3cret" not in str(refused.value)
