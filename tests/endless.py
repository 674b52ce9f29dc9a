"""A web server on this machine with a page that never ends, as that of a network that wants a login may."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.tls_server import Files


@contextmanager
def endless(part: bytes, files: Files | None = None, pause: float = 0) -> Iterator[int]:
    """Serves the part again and again, until the client goes, with a pause (seconds) after each; over TLS with a certificate.

    Yields its port.
    """
    done = threading.Event()

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            while not done.wait(pause):
                self.wfile.write(part)

        def log_message(self, *arguments: Any) -> None:
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *arguments: Any) -> None:
            """The client went, as it should."""

    server = Quiet(("127.0.0.1", 0), Endless)
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        done.set()
        server.shutdown()
        server.server_close()
