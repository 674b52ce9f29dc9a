"""The pin is checked before a byte is sent: against a raw TLS server that writes down what reaches it."""

from __future__ import annotations

import re
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import CertificateError
from nbserver.base.message import message
from nbserver.base.pinned_tls import (
    FingerprintMismatch,
    PinnedAdapter,
    ProxyRefused,
    SystemTrustAdapter,
    certificate_at,
    connect,
    fingerprint_of,
    normalize,
    proxy_for,
)
from tests.notebook_server import Certificate, Forwarder, free_port, make_certificate, web_server

OTHER = "SHA256:" + "0" * 64
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"


class Recorder:
    """A server for one connection after the other; `received` is what a client sent after the handshake."""

    def __init__(self, certificate: Certificate) -> None:
        self.received = b""
        self.handshakes = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._context.num_tickets = 0  # a client that leaves at once cannot make the handshake fail
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"https://127.0.0.1:{self.port}/secret"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        """Ends after the connections that were made so far were read to their end."""
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop")
        self._thread.join(30)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            raw, _ = self._listener.accept()
            raw.settimeout(20)
            with raw:
                if raw.recv(4, socket.MSG_PEEK) == b"stop":
                    return
                try:
                    with self._context.wrap_socket(raw, server_side=True) as tls:
                        self.handshakes += 1
                        while data := tls.recv(65536):
                            self.received += data
                            if b"\r\n\r\n" in data:
                                tls.sendall(ANSWER)
                                break
                except OSError:
                    continue


@contextmanager
def _recording(certificate: Certificate) -> Iterator[Recorder]:
    recorder = Recorder(certificate)
    try:
        yield recorder
    finally:
        recorder.stop()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("pinned"))


def _session(adapter: PinnedAdapter | SystemTrustAdapter) -> requests.Session:
    session = requests.Session()
    session.mount("https://", adapter)
    return session


def test_the_fingerprint_is_the_one_that_cryptography_computes(certificate: Certificate) -> None:
    loaded = x509.load_pem_x509_certificate(certificate.certificate.read_bytes())
    der = loaded.public_bytes(serialization.Encoding.DER)
    assert fingerprint_of(der) == "SHA256:" + loaded.fingerprint(hashes.SHA256()).hex()


@given(st.binary(min_size=32, max_size=32), st.booleans(), st.booleans(), st.booleans())
def test_every_way_to_write_a_fingerprint_is_the_same(digest: bytes, upper: bool, colons: bool, prefix: bool) -> None:
    text = digest.hex(":") if colons else digest.hex()
    text = text.upper() if upper else text
    assert normalize(f"SHA256:{text}" if prefix else text) == f"SHA256:{digest.hex()}"


@given(st.binary())
def test_a_fingerprint_is_normal_already(der: bytes) -> None:
    assert re.fullmatch(r"SHA256:[0-9a-f]{64}", fingerprint_of(der))
    assert normalize(fingerprint_of(der)) == fingerprint_of(der)


@pytest.mark.parametrize("text", ["", "SHA256:", "SHA256:" + "0" * 63, "SHA1:" + "0" * 40, "0" * 40, "0" * 65, "g" * 64, ":" + "0" * 64])
def test_other_texts_are_no_fingerprint(text: str) -> None:
    with pytest.raises(ValueError, match="64 hex digits"):
        normalize(text)


def test_a_client_with_the_right_pin_is_served(certificate: Certificate) -> None:
    with _recording(certificate) as server:
        response = _session(PinnedAdapter(certificate.fingerprint.upper())).get(server.url, timeout=20)
    assert response.text == "hi"
    assert server.received.startswith(b"GET /secret")


def test_a_client_with_another_pin_sends_nothing(certificate: Certificate) -> None:
    with _recording(certificate) as server, pytest.raises(FingerprintMismatch) as refused:
        _session(PinnedAdapter(OTHER)).post(server.url, data={"password": "hunter2"}, timeout=20)
    assert server.handshakes == 1
    assert server.received == b""
    assert (refused.value.expected, refused.value.actual) == (OTHER, certificate.fingerprint)


def test_the_session_and_the_environment_cannot_switch_the_pin_off(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.certificate))
    with _recording(certificate) as server:
        session = _session(PinnedAdapter(OTHER))
        session.verify = str(certificate.certificate)
        for verify in (None, False, True, str(certificate.certificate)):
            with pytest.raises(FingerprintMismatch):
                session.get(server.url, verify=verify, timeout=20)
    assert server.handshakes == 4
    assert server.received == b""


def test_a_pinned_adapter_refuses_plain_http() -> None:
    session = requests.Session()
    session.mount("http://", PinnedAdapter(OTHER))
    with pytest.raises(requests.exceptions.InvalidSchema, match="HTTPS"):
        session.get(f"http://127.0.0.1:{free_port()}/", timeout=20)


def test_the_pin_holds_through_a_proxy(certificate: Certificate) -> None:
    with _recording(certificate) as server, Forwarder(server.port, proxy=True) as proxy:
        proxies = {"https": f"http://127.0.0.1:{proxy.port}"}
        with pytest.raises(FingerprintMismatch):
            _session(PinnedAdapter(OTHER)).get(server.url, proxies=proxies, timeout=20)
        assert f"CONNECT 127.0.0.1:{server.port} ".encode() in b"".join(proxy.sent)
        response = _session(PinnedAdapter(certificate.fingerprint)).get(server.url, proxies=proxies, timeout=20)
    assert response.text == "hi"
    assert server.handshakes == 2
    assert server.received.count(b"GET ") == 1


def test_connect_returns_a_connection_that_was_checked(certificate: Certificate) -> None:
    with (
        _recording(certificate) as server,
        connect("127.0.0.1", server.port, fingerprint=certificate.fingerprint, timeout=20) as tls,
    ):
        assert tls.version() in ("TLSv1.2", "TLSv1.3")
        tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert tls.recv(4) == b"HTTP"
    assert server.received == b"GET / HTTP/1.1\r\n\r\n"


def test_connect_refuses_another_certificate(certificate: Certificate) -> None:
    with _recording(certificate) as server, pytest.raises(FingerprintMismatch) as refused:
        connect("127.0.0.1", server.port, fingerprint=OTHER, timeout=20)
    assert server.received == b""
    error = refused.value.for_host("win1", advice=message("ask", "Ask"))
    assert isinstance(error, CertificateError)
    assert str(error) == (f"win1: the server presented a different certificate: expected {OTHER}, got {certificate.fingerprint}. Ask")


def test_connect_goes_through_a_proxy(certificate: Certificate) -> None:
    with _recording(certificate) as server, Forwarder(server.port, proxy=True) as proxy:
        url = f"http://user:p%40ss@127.0.0.1:{proxy.port}"
        connect("127.0.0.1", server.port, fingerprint=certificate.fingerprint, timeout=20, proxy=url).close()
    assert server.handshakes == 1
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in b"".join(proxy.sent)


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("http://user:p%40ss@127.0.0.1:PORT", "refused to connect to win1.example.com:443 .HTTP status 501"),
        ("socks5://user:p%40ss@127.0.0.1:PORT", "begins with socks5://"),
        ("http://user:p%40ss@127.0.0.1:x", "the port number of the proxy .* is not valid"),
        ("http://user:p%40ss@127.0.0.1:1", r"the proxy 127\.0\.0\.1:1 could not be reached \(Connection refused\)"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(proxy: str, reason: str) -> None:
    with web_server(None, {}) as port, pytest.raises(ProxyRefused, match=reason) as refused:
        url = proxy.replace("PORT", str(port))
        connect("win1.example.com", 443, fingerprint=OTHER, timeout=20, proxy=url)
    assert "p%40ss" not in str(refused.value)
    assert "p@ss" not in str(refused.value)


def test_what_a_proxy_answers_cannot_steer_a_terminal() -> None:
    def answer(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, suppress(OSError):
            client.recv(65536)
            client.sendall(b"HTTP/1.1 \x1b]0;title\x07\r" + b"9" * 10_000 + b" X\r\n\r\n")
            client.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(ProxyRefused, match="refused to connect") as refused:
            connect("win1.example.com", 443, fingerprint=OTHER, timeout=20, proxy=f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert str(refused.value).isprintable() and len(str(refused.value)) < 200


def test_a_proxy_that_drips_has_the_time_of_an_answer() -> None:
    gone = threading.Event()

    def drip(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, suppress(OSError):
            while not gone.wait(0.05):
                client.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        with pytest.raises(TimeoutError, match="in time"):
            connect("win1.example.com", 443, fingerprint=OTHER, timeout=0.5, proxy=f"http://127.0.0.1:{listener.getsockname()[1]}")
        gone.set()
        thread.join()


def test_without_a_pin_the_systems_trust_decides(certificate: Certificate) -> None:
    with _recording(certificate) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            connect("127.0.0.1", server.port, fingerprint=None, timeout=20)
        with pytest.raises(requests.exceptions.SSLError):
            _session(SystemTrustAdapter()).get(server.url, timeout=20)
        assert fingerprint_of(certificate_at("127.0.0.1", server.port, timeout=20)) == certificate.fingerprint
    assert server.received == b""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a system whose trust SSL_CERT_FILE can replace (Linux)")
def test_the_systems_trust_checks_the_name_too(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    with _recording(certificate) as server:
        assert _session(SystemTrustAdapter()).get(server.url, timeout=20).text == "hi"
        connect("localhost", server.port, fingerprint=None, timeout=20).close()
        with pytest.raises(ssl.SSLCertVerificationError, match=r"win1.example.com"):
            connect("127.0.0.1", server.port, fingerprint=None, timeout=20, server_name="win1.example.com")


def test_the_environment_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://win1.example.com:9999") is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example.com:3128")
    assert proxy_for("https://win1.example.com:9999") == "http://proxy.example.com:3128"
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert proxy_for("https://win1.example.com:9999") is None


def test_the_name_alone_is_not_the_certificate(certificate: Certificate, tmp_path: Path) -> None:
    """Two certificates made out for the same names have different fingerprints."""
    assert make_certificate(tmp_path).fingerprint != certificate.fingerprint
