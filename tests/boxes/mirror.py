"""A site's mirror on 127.0.0.1: CPython and OpenSSL for Windows, and a package index of a lock's wheels (PEP 503).

    with Mirror(lock=LOCK) as mirror:
        catalog = mirror.write_catalog(folder / "catalog.toml", openssl="msi")
        mirror.misbehave("cut", "*/python-*.zip", after=100_000)
        ...
        assert mirror.requests[1].range == "bytes=100000-"

It is an HTTP proxy as well (GET of absolute URLs): requests through it for any host but a local one get the mirror's own
files, so a URL such as http://downloads.example.com/files/x is answered only when the proxy was really used.
"""

from __future__ import annotations

import functools
import html
import http.client
import http.server
import re
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from tests import tier
from tests.boxes import artifacts
from tests.boxes.misbehaviour import Kind, Misbehaviour, other_bytes
from tests.boxes.windows_python import PYTHON_3_11, WindowsPython

BLOCK = 1 << 18
HTML = "text/html; charset=utf-8"
PORTAL = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"


@dataclass(frozen=True)
class Request:
    """One request as it came in; `range` is the header, "" without one."""

    method: str
    path: str
    range: str
    through_proxy: bool


class Mirror:
    """Serves from the start until `close`. `lock` is the lock file of the package index, `wheels` what gets its wheels.

    Files are made when they are first asked for (artifacts.py), the slow ones once in the cache's lifetime.
    """

    def __init__(
        self,
        lock: Path,
        cache: Path | None = None,
        wheels: Callable[[Path, Path], Path] = artifacts.wheels,
        python: WindowsPython = PYTHON_3_11,
    ) -> None:
        self._get_wheels, self.python = wheels, python
        self.lock_file = lock
        self.cache = cache or artifacts.cache_folder()
        self.requests: list[Request] = []
        self.misbehaviours: list[Misbehaviour] = []
        self.guard = threading.RLock()
        self.server = _Server(self)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def index_url(self) -> str:
        return f"{self.url}/simple/"

    @functools.cached_property
    def wheels(self) -> Path:
        return self._get_wheels(self.cache, self.lock_file)

    def file(self, name: str) -> Path:
        """One of the downloads by name. Raises LookupError when it cannot be made here, KeyError for another name."""
        with self.guard:
            if name == self.python.file_name:
                return self.python.whole(self.cache)
            if name == self.python.small_file_name:
                return self.python.small(self.cache)
            if name == artifacts.OPENSSL_MSI:
                return artifacts.openssl_msi(self.cache)
            if name == artifacts.OPENSSL_ZIP:
                return artifacts.openssl_zip()
            raise KeyError(name)

    def misbehave(self, kind: Kind, path: str = "*", *, times: int | None = 1, after: int = 0) -> None:
        """See Misbehaviour."""
        with self.guard:
            self.misbehaviours.append(Misbehaviour(kind, path, times, after))

    def behave(self) -> None:
        """Forgets all misbehaviour and the requests so far."""
        with self.guard:
            self.misbehaviours.clear()
            self.requests.clear()

    def asked(self, pattern: str) -> list[Request]:
        """The requests whose path contains `pattern` (a regular expression)."""
        with self.guard:
            return [request for request in self.requests if re.search(pattern, request.path)]

    def write_catalog(
        self,
        path: Path,
        *,
        openssl: str = "zip",
        whole_python: bool = tier.FULL,
        base: str | None = None,
        changes: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Path:
        """Writes a site catalog of what the mirror has, with real sizes and hashes; `openssl` is `zip` or `msi`.

        Python is the publisher's zip with `whole_python`, else what a notebook server runs of it.

        `base` replaces the mirror's own address in the URLs; `changes` are other values, by kind of entry, such as
        {"python": {"sha256": "00..."}}.
        """
        names = {
            "python": self.python.file_name if whole_python else self.python.small_file_name,
            "openssl": getattr(artifacts, f"OPENSSL_{openssl.upper()}"),
        }
        executables = {
            ("python", "zip"): "python.exe",
            ("openssl", "zip"): r"OpenSSL-Win64\bin\openssl.exe",
            ("openssl", "msi"): r"%ProgramFiles%\OpenSSL\bin\openssl.exe",
        }
        lines = ["[defaults]", f'python = "{self.python.branch}"', 'openssl = "3.5"']
        for kind, version in (("python", self.python.version), ("openssl", "3.5.7")):
            file = self.file(names[kind])
            package = openssl if kind == "openssl" else "zip"
            entry: dict[str, object] = {
                "version": version,
                "architecture": "x64",
                "kind": package,
                "url": f"{base or self.url}/files/{file.name}",
                "sha256": artifacts.sha256(file),
                "size": file.stat().st_size,
                "executable": executables[kind, package],
                "source": "computed by the test's mirror",
                **(changes or {}).get(kind, {}),
            }
            lines += ["", f"[[{kind}]]", *(f"{key} = {_toml(value)}" for key, value in entry.items())]
        lock = {"python": self.python.branch, "architecture": "x64", "file": str(self.lock_file.absolute())}
        lines += ["", "[[lock]]", *(f"{key} = {_toml(value)}" for key, value in lock.items())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    # -- what is at a path

    def page(self, path: str) -> bytes | None:
        """A page of the package index, or None. Its links carry hashes, as those of the public index do."""
        match = re.fullmatch(r"/simple/(?:([a-z0-9-]+)/)?", path)
        if not match:
            return None
        files = sorted(self.wheels.glob("*.whl"))
        if match[1]:
            links = [
                (f"../../wheels/{file.name}#sha256={artifacts.sha256(file)}", file.name) for file in files if _project(file) == match[1]
            ]
        else:
            links = [(f"{name}/", name) for name in sorted({_project(file) for file in files})]
        if not links:
            return None
        body = "".join(f'<a href="{html.escape(link)}">{html.escape(text)}</a><br>\n' for link, text in links)
        return f"<!DOCTYPE html><html><body>\n{body}</body></html>\n".encode()

    def open(self, path: str) -> tuple[BinaryIO, int] | None:
        """The file at a path, opened, and its size; None if there is none."""
        place, _, name = path.removeprefix("/").partition("/")
        if place not in ("files", "wheels") or "/" in name:
            return None
        try:
            file = self.file(name) if place == "files" else self.wheels / name
        except KeyError:
            return None
        if not file.is_file():
            return None
        return file.open("rb"), file.stat().st_size

    def note(self, request: Request) -> Misbehaviour | None:
        """Writes a request down and says what is to go wrong with it."""
        with self.guard:
            self.requests.append(request)
            if request.method not in ("GET", "CONNECT"):
                return None
            return next((wrong for wrong in self.misbehaviours if wrong.applies(request.path)), None)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _project(wheel: Path) -> str:
    """The normalised project name of a wheel's file name (PEP 503, PEP 427)."""
    return re.sub(r"[-_.]+", "-", wheel.name.split("-", 1)[0]).lower()


def _toml(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value).lower() if isinstance(value, bool) else str(value)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte of `bytes=a-b`, `bytes=a-` or `bytes=-n`; None if it is no such range (RFC 9110: ignore it).

    Raises ValueError if nothing of it is there (416).
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        first, last = max(0, size - int(match[2])), size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    if first >= size or last < first:
        raise ValueError(header)
    return first, last


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        super().__init__(("127.0.0.1", 0), _Connection)

    def server_bind(self) -> None:  # HTTPServer's own looks the host's name up
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Connection(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def mirror(self) -> Mirror:
        server: Any = self.server
        found: Mirror = server.mirror
        return found

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are in Mirror.requests."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        wrong = self.mirror.note(Request(self.command, self.path, "", through_proxy=True))
        if wrong and wrong.kind == "proxy_authentication":
            return self.answer(407, PORTAL, {"Content-Type": HTML, "Proxy-Authenticate": 'Basic realm="proxy"'})
        self.answer(501, b"This proxy forwards http:// only.\n")

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        wrong = self.mirror.note(Request(self.command, target.path, self.headers.get("Range", ""), through_proxy=bool(target.scheme)))
        if wrong and wrong.kind == "proxy_authentication":
            return self.answer(407, PORTAL, {"Content-Type": HTML, "Proxy-Authenticate": 'Basic realm="proxy"'})
        if wrong and wrong.kind == "missing":
            return self.answer(404, b"not found\n")
        if wrong and wrong.kind == "html":
            return self.answer(200, PORTAL, {"Content-Type": HTML})
        if target.hostname in ("127.0.0.1", "localhost") and target.port != self.mirror.port:
            return self.forward(target.hostname or "", target.port or 80)
        page = self.mirror.page(target.path)
        if page is not None:
            return self.answer(200, page, {"Content-Type": HTML})
        found = self.mirror.open(target.path)
        if found is None:
            return self.answer(404, b"not found\n")
        with found[0] as file:
            return self.send_file(file, found[1], wrong)

    def send_file(self, file: BinaryIO, size: int, wrong: Misbehaviour | None) -> None:
        first, last, status = 0, size - 1, 200
        headers = {"Content-Type": "application/octet-stream"}
        if not (wrong and wrong.kind == "no_range"):
            headers["Accept-Ranges"] = "bytes"
            try:
                part = byte_range(self.headers.get("Range", ""), size)
            except ValueError:
                return self.answer(416, b"", {"Content-Range": f"bytes */{size}"})
            if part:
                first, last, status = *part, 206
                headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        self.start(status, last - first + 1, headers)
        if self.command == "HEAD":
            return
        left = last - first + 1
        if wrong and wrong.kind == "cut":
            left = min(left, wrong.after)
            self.close_connection = True
        file.seek(first)
        for block in _blocks(file, left):
            self.wfile.write(other_bytes(block) if wrong and wrong.kind == "wrong_bytes" else block)

    def forward(self, host: str, port: int) -> None:
        target = urlsplit(self.path)
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        connection = http.client.HTTPConnection(host, port, timeout=60)
        try:
            connection.request(self.command, path, headers=headers)
            response = connection.getresponse()
            kept = {name: value for name, value in response.getheaders() if name.lower() in ("content-type", "content-range")}
            self.answer(response.status, response.read(), kept)
        except OSError as error:
            self.answer(502, f"{error}\n".encode())
        finally:
            connection.close()

    def start(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.start(status, len(body), headers or {"Content-Type": "text/plain"})
        if self.command != "HEAD":
            self.wfile.write(body)


def _blocks(file: BinaryIO, left: int) -> Iterator[bytes]:
    while left > 0:
        block = file.read(min(BLOCK, left))
        if not block:
            return
        left -= len(block)
        yield block
