"""A real notebook server on this machine, for tests: its own folders, a self-signed P-256 certificate, a password.

Beside it what may stand in front of it, or in its place: a TCP forwarder, a CONNECT proxy, a web server.
"""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nbserver.base.allowance import Allowance
from nbserver.base.pinned_tls import fingerprint_of
from nbserver.run.notebook_password import hash_password
from nbserver.verify.notebook_client import Address, NotebookClient
from tests.ports import free_port

if TYPE_CHECKING:
    from typing import Self

PASSWORD = "Straße & 100 % ; +Ω"
START_SECONDS = 300


@dataclass(frozen=True)
class Certificate:
    """PEM files and the fingerprint of a certificate."""

    certificate: Path
    key: Path
    fingerprint: str


@dataclass(frozen=True)
class NotebookServer:
    port: int
    certificate: Certificate
    password: str
    log: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


def missing() -> str:
    """What this machine lacks for a notebook server, "" where nothing."""
    lacking = [name for name in ("notebook", "ipykernel", "numpy", "matplotlib") if find_spec(name) is None]
    return f"needs the packages {', '.join(lacking)} (the extra `test-all`)" if lacking else ""


def make_certificate(folder: Path, *, name: str = "notebook", begins_in_days: int = -60, ends_in_days: int = 30) -> Certificate:
    """Self-signed, P-256, for localhost and its addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins_in_days))
        .not_valid_after(now + datetime.timedelta(days=ends_in_days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return Certificate(*paths, fingerprint_of(certificate.public_bytes(serialization.Encoding.DER)))


@contextmanager
def notebook_server(
    folder: Path,
    *,
    password: str | None = PASSWORD,
    token: str = "",
    certificate: Certificate | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[NotebookServer]:
    """Starts the server, waits until it answers, stops it. With `password` None and no token everybody may come in."""
    certificate = certificate or make_certificate(folder)
    for _attempt in range(3):
        port = free_port()
        process, log = _start(folder, port, password, token, certificate, environment or {})
        try:
            if _answers(process, port):
                yield NotebookServer(port, certificate, password or "", log)
                return
        finally:
            _stop(process)
    raise RuntimeError(f"the notebook server did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _start(
    folder: Path, port: int, password: str | None, token: str, certificate: Certificate, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], Path]:
    places = {name: folder / name.lower() for name in _PLACES}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    hashed = "" if password is None else hash_password(password, bytes(16))
    settings = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False,
        "ServerApp.allow_remote_access": True,  # a public name in the Host header is not refused
        "ServerApp.allow_root": True,
        "ServerApp.certfile": str(certificate.certificate),
        "ServerApp.keyfile": str(certificate.key),
        "YDocExtension.disable_rtc": True,
        "ServerApp.root_dir": str(places["HOME"]),
        "PasswordIdentityProvider.hashed_password": hashed,
        "IdentityProvider.token": token,
    }
    config = folder / "jupyter_server_config.py"
    lines = [f"c.{key} = {value!r}\n" for key, value in settings.items()]
    config.write_text("c = get_config()\n" + "".join(lines), encoding="utf-8")
    log = folder / "server.log"
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "MPL", "IPYTHON"))}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "notebook", f"--config={config}"],
            env={**inherited, **{name: str(place) for name, place in places.items()}, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return process, log


_PLACES = (
    "HOME",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "IPYTHONDIR",
    "MPLCONFIGDIR",
)


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Waits for `GET /api`, which needs no login. False where the process ended or the time is over."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with opener.open(f"https://127.0.0.1:{port}/api", timeout=10) as response:
                return bool(response.status == 200)
        except OSError:
            time.sleep(0.1)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def logged_in(server: NotebookServer) -> Iterator[NotebookClient]:
    """A session that has logged in."""
    address = Address.parse(server.url)
    with NotebookClient(address, host="box", fingerprint=server.certificate.fingerprint, allowance=Allowance(600)) as client:
        client.login(server.password)
        yield client


def kernels(server: NotebookServer) -> list[dict[str, Any]]:
    """The kernels that run on the server."""
    with logged_in(server) as client:
        return cast("list[dict[str, Any]]", json.loads(client._send("GET", "/api/kernels").body))


class Forwarder:
    """Passes TCP on to a port, as a load balancer or a CONNECT proxy does; `sent` is what clients sent."""

    def __init__(self, target: int, *, address: str = "127.0.0.1", proxy: bool = False) -> None:
        self.sent: list[bytes] = []
        self._target = target
        self._proxy = proxy
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            if self._proxy:
                head = b""
                while not head.endswith(b"\r\n\r\n") and (byte := client.recv(1)):
                    head += byte
                self.sent.append(head)
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(server, client, False), daemon=True)
            back.start()
            self._copy(client, server, True)
            back.join()

    def _copy(self, source: socket.socket, sink: socket.socket, record: bool) -> None:
        try:
            while data := source.recv(65536):
                if record:
                    self.sent.append(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


@contextmanager
def web_server(certificate: Certificate | None, answers: dict[str, tuple[int, dict[str, str]]]) -> Iterator[int]:
    """A web server that is no notebook: path -> status and headers, 404 for others; over TLS with a certificate."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers = answers.get(self.path.partition("?")[0], (404, {}))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, *arguments: object) -> None: ...

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        web.socket = context.wrap_socket(web.socket, server_side=True)
        web.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(web.server_address[1])
    finally:
        web.shutdown()
        thread.join()
        web.server_close()
