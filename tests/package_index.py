"""A package index (PEP 503) of small wheels, behind a web server that can also ask for a login or answer with anything else."""

from __future__ import annotations

import base64
import hashlib
import http.server
import ssl
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from nbserver.catalog.site_lock import NEEDED


def put_wheel(folder: Path, name: str, version: str, *requires: str, tag: str = "py3-none-any") -> None:
    """Put a wheel without modules into the index in `folder`."""
    module = name.replace("-", "_")
    project = folder / name
    project.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(project / f"{module}-{version}-{tag}.whl", "w") as archive:
        required = "".join(f"Requires-Dist: {text}\n" for text in requires)
        archive.writestr(f"{module}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}")
        archive.writestr(f"{module}-{version}.dist-info/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{module}-{version}.dist-info/RECORD", "")
    pages = "".join(
        f'<a href="{quote(wheel.name)}#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}">{wheel.name}</a>\n'
        for wheel in sorted(project.glob("*.whl"))
    )
    (project / "index.html").write_text(pages, "utf-8")


def put_server(folder: Path) -> None:
    """Put version 1.0 of each package of the notebook server into the index."""
    for name in NEEDED:
        put_wheel(folder, name, "1.0")


@dataclass
class Served:
    """`login` is what the index asks for, as NAME:PASSWORD; `status` and `page` replace every answer. `logins` are those that were sent."""

    url: str
    login: str | None = None
    status: int = 0
    page: bytes = b""
    logins: list[str] = field(default_factory=list)


@contextmanager
def served(folder: Path, certificate: Path | None = None) -> Iterator[Served]:
    """Serve the folder; over TLS with a `certificate`, which is a PEM file with its key."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            sent = self.headers.get("Authorization", "")
            if sent:
                found.logins.append(base64.b64decode(sent.removeprefix("Basic ")).decode())
            if found.status:
                self._answer(found.status, found.page)
            elif found.login and found.login != (found.logins[-1] if sent else ""):
                self._answer(401, b"")
            else:
                super().do_GET()

        def _answer(self, status: int, page: bytes) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        found = Served(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
