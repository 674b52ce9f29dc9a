"""The publishers' sites on this machine: an HTTPS server under an authority of the tests, and indexes as they write them."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FTP = "https://www.python.org/ftp/python/"
SLPROWEB = "https://slproweb.com/download/"
NAMES = ("localhost", "www.python.org", "github.com", "raw.githubusercontent.com", "slproweb.com", "download.visualstudio.microsoft.com")

# Copied from the publishers' indexes of April 2026. Of slproweb's 106 entries here are those that matter: it has each version as
# exe and msi, Light and full, for ARM too (its copies 0602221 of May 2022 and 2c95154 of April 2024).
HASHES = {
    "3.13.13-amd64": "5f066036aebfaa3aa9aa4d52f852022f24641e7b5bc52f2bf8bb7acbe7bab958",
    "3.13.13-arm64": "406549c157a8ac7289807241ac498fe20823387285ee60bd6aadfed224fa60b5",
    "3.14.4-amd64": "11a6f5f5e7defeaa67a0b8e797f0eabec6e4499e663815319a0e0d360091f906",
    "3.14.4-arm64": "f4430f865ec6a76b58a0effc8261609663f8a7509e95eaf7a166d7644bfb776a",
    "3.5.6-ARM-exe": "b1976fad9396bf7f42b5729b070d9912adc3d3d83844369ea5528a00338c2ed4",
    "3.5.6": "3d674aa1e3c50e89886c4a3805a65a093b3cb03054e3d2458c230c6d80435f1c",
}


def digest(name: str) -> str:
    """The publisher's hash where it is known, else one that only looks like one."""
    return HASHES.get(name) or (name.encode().hex() + "0" * 64)[:64]


def python_entry(version: str, processor: str = "amd64", *, kind: str = "pythoncore", **changes: Any) -> dict[str, Any]:
    """An entry of `versions`; `changes` replace its fields, None takes one out."""
    branch = ".".join(version.split(".")[:2])
    tag = {"amd64": "64", "win32": "32"}.get(processor, processor)
    name = {"pythoncore": "", "pythonembed": "embeddable-", "pythontest": "test-"}[kind]
    entry = {
        "schema": 1,
        "id": f"{kind}-{branch}-{tag}",
        "sort-version": version,
        "company": "PythonCore",
        "tag": f"{branch}-{tag}",
        "install-for": [f"{version}-{tag}", f"{branch}-{tag}", f"3-{tag}"],
        "alias": [{"target": "python.exe", "name": f"python{branch}.exe"}],
        "display-name": f"Python {version}",
        "executable": ".\\python.exe",
        "url": f"{FTP}{version}/python-{version}-{name}{processor}.zip",
        "hash": {"sha256": digest(f"{version}-{name}{processor}")},
        **changes,
    }
    return {key: value for key, value in entry.items() if value is not None}


def legacy_entry(version: str) -> dict[str, Any]:
    """An entry of the last page: a package of another place, without a hash."""
    return python_entry(version, url=f"https://packages.example.com/python.{version}.nupkg", hash=None, **{"run-for": []})


def python_index(*entries: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"versions": list(entries), **more}, indent=1).encode()


def openssl_entry(
    version: str, *, arch: str = "INTEL", installer: str = "msi", light: bool = True, **changes: Any
) -> dict[str, dict[str, Any]]:
    """One member of `files`; `changes` replace its fields, None takes one out."""
    system = {"INTEL": "Win64", "ARM": "Win64ARM"}[arch]
    name = f"{system}OpenSSL{'_Light' if light else ''}-{version.replace('.', '_')}.{installer}"
    entry = {
        "basever": version,
        "subver": "",
        "arch": arch,
        "bits": 64,
        "light": light,
        "installer": installer,
        "url": SLPROWEB + name,
        "size": 6045696 if light else 295362560,
        "md5": "3c3303c95e9cc29474743dfd49d42df3",
        "sha256": digest(
            version if (light, installer, arch) == (True, "msi", "INTEL") else f"{version}-{arch}-{installer}" if light else name[-20:]
        ),
        **changes,
    }
    return {name: {key: value for key, value in entry.items() if value is not None}}


def openssl_index(*entries: dict[str, dict[str, Any]], **more: Any) -> bytes:
    files = {name: values for entry in entries for name, values in entry.items()}
    return json.dumps({"info": {"title": "Windows OpenSSL Hashes"}, "files": files, **more}, indent="\t").encode()


APRIL_PYTHON = python_index(
    python_entry("3.15.0a8"),
    python_entry("3.14.4"),
    python_entry("3.14.4", "arm64"),
    python_entry("3.14.4", kind="pythonembed"),
    python_entry("3.14.4", id="pythoncore-3.14t-64"),
    python_entry("3.13.13", "win32"),
    python_entry("3.13.13"),
    python_entry("3.13.13", "arm64"),
    python_entry("3.13.13", kind="pythontest"),
)
APRIL_OPENSSL = openssl_index(
    openssl_entry("3.5.6", installer="exe"),
    openssl_entry("3.5.6"),
    openssl_entry("3.5.6", light=False),
    openssl_entry("3.5.6", arch="ARM", installer="exe"),
    openssl_entry("3.5.6", arch="ARM"),
    openssl_entry("3.5.6", arch="ARM", installer="exe", light=False),
    openssl_entry("3.6.2"),
    openssl_entry("3.0.20"),
)


@dataclass(frozen=True)
class Answer:
    """`body` is sent as it is, or written by a function that gets the connection's `write`."""

    body: bytes | Callable[[Callable[[bytes], object]], None] = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Site:
    """`answers` has URL, or path at any name -> answer; others get 404. `asked` are the URLs that were asked for.

    `headers` are the names of all headers that came with them, in lower case.
    """

    port: int
    ca_file: Path
    other_ca_file: Path
    answers: dict[str, Answer]
    asked: list[str]
    headers: set[str]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/"

    def publish(self, python: bytes = APRIL_PYTHON, openssl: bytes = APRIL_OPENSSL, **pages: bytes) -> None:
        """Both indexes, below `python/` and as `openssl.json`, and more pages below `python/` by their names."""
        self.answers.clear()
        self.asked.clear()
        self.headers.clear()
        self.answers["/python/index-windows.json"] = Answer(python)
        self.answers["/openssl.json"] = Answer(openssl)
        for name, page in pages.items():
            self.answers[f"/python/{name}.json"] = Answer(page)


@contextmanager
def publishers(folder: Path) -> Iterator[Site]:
    """Serves over TLS in the name of the publishers and of 127.0.0.1."""
    authority, other = _authority("Authority of the tests"), _authority("Another authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*_server_files(folder, *authority))
    ca_file, other_ca_file = folder / "authority.pem", folder / "other.pem"
    for path, (certificate, _) in ((ca_file, authority), (other_ca_file, other)):
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    site = Site(0, ca_file, other_ca_file, {}, [], set())

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 60

        def setup(self) -> None:
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def do_GET(self) -> None:
            url = f"https://{self.headers['Host']}{self.path}"
            site.asked.append(url)
            site.headers.update(map(str.lower, self.headers))
            answer = site.answers.get(url) or site.answers.get(self.path) or Answer(status=404)
            self.send_response(answer.status)
            length = {"Content-Length": str(len(answer.body))} if isinstance(answer.body, bytes) else {}
            for name, value in {**length, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if isinstance(answer.body, bytes):
                self.wfile.write(answer.body)
            else:
                answer.body(self.wfile.write)

        def do_HEAD(self) -> None:
            """The headers that a GET would get; `body` as a function writes the whole answer."""
            url = f"https://{self.headers['Host']}{self.path}"
            site.asked.append(f"HEAD {url}")
            site.headers.update(map(str.lower, self.headers))
            answer = site.answers.get(f"HEAD {self.path}") or site.answers.get(url) or site.answers.get(self.path) or Answer(status=404)
            if not isinstance(answer.body, bytes):
                answer.body(self.wfile.write)
                return
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign,assignment]
    site.port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _authority(name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _certificate(subject, subject, key.public_key(), key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(usage, critical=True)
    return builder.sign(key, hashes.SHA256()), key


def _server_files(folder: Path, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [*map(x509.DNSName, NAMES), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "publishers")])
    certificate = (
        _certificate(subject, authority.subject, key.public_key(), authority_key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    paths = folder / "server.crt", folder / "server.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )
