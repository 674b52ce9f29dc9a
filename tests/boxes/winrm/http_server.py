"""The HTTP side: connections, authentication, message encryption, and the faults of the way."""

from __future__ import annotations

import base64
import contextlib
import http.server
import re
import socket
import socketserver
import ssl
import sys
import time
from typing import TYPE_CHECKING, Any

from spnego.exceptions import SpnegoError

from tests.boxes.winrm.negotiate import ENCRYPTED, Negotiation

if TYPE_CHECKING:
    from tests.boxes.winrm.endpoint import Endpoint

SOAP = "application/soap+xml;charset=UTF-8"
Headers = list[tuple[str, str]]


class Drop(Exception):
    """Close the connection without an answer."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """One thread a connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        super().__init__(address, Connection)

    def server_bind(self) -> None:  # HTTPServer's own looks the host's name up
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], (OSError, ssl.SSLError)):
            super().handle_error(request, client_address)


class Connection(http.server.BaseHTTPRequestHandler):
    """One instance per connection, so what Negotiate agreed on lives here."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Microsoft-HTTPAPI/2.0", ""
    wbufsize = -1
    disable_nagle_algorithm = True

    def setup(self) -> None:
        server: Any = self.server
        self.endpoint: Endpoint = server.endpoint
        self.negotiation: Negotiation | None = None
        self.user = ""
        if self.endpoint.tls:  # the handshake belongs in this connection's thread
            self.request = self.endpoint.tls.wrap_socket(self.request, server_side=True)
            self.endpoint.stats["tls handshakes"] += 1
        self.endpoint.connections.add(self.request)
        self.endpoint.stats["connections"] += 1
        super().setup()

    def finish(self) -> None:
        self.endpoint.connections.discard(self.request)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test's own output is enough."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (Drop, ConnectionError):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.request.shutdown(socket.SHUT_RDWR)

    def alive(self) -> bool:
        return bool(self.request.fileno() >= 0)

    def reply(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        self.send_response(status)
        for name, value in headers or []:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def do_GET(self) -> None:
        self.reply(404)

    def do_POST(self) -> None:
        endpoint = self.endpoint
        endpoint.stats["http"] += 1
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.path.rstrip("/").lower() != "/wsman":
            return self.reply(404)
        if length > endpoint.max_envelope + 4096:
            return self.reply(413)
        if self.headers.get("WSMANIDENTIFY", "").lower() == "unauthenticated":
            status, out = endpoint.wsman.handle(body, self.alive)
            return self.reply(status, out, [("Content-Type", SOAP)])
        if not endpoint.faults.match and self.disturbed(""):  # before authentication, as a proxy or http.sys would
            return None
        extra = self.authenticate()
        if extra is None:
            return None
        if length == 0:  # the client only wanted to authenticate the connection
            return self.reply(200, b"", extra)
        negotiation = None
        if self.headers.get("Content-Type", "").startswith("multipart/encrypted"):
            negotiation = self.negotiation
            if negotiation is None:
                return self.challenge()
            try:
                body = negotiation.decrypt(body)
            except (SpnegoError, ValueError, IndexError):
                endpoint.stats["cannot decrypt"] += 1
                return self.reply(400, b"", [("Connection", "close")])
        elif endpoint.require_encryption and not endpoint.tls:
            endpoint.stats["refused plain"] += 1
            return self.challenge()
        action = (re.search(rb"Action[^>]*>([^<]*)<", body) or [b"", b""])[1].decode()
        if endpoint.faults.match and self.disturbed(action):
            return None
        self.break_after_receives(action)
        status, out = endpoint.wsman.handle(body, self.alive)
        if endpoint.faults.use("drop_responses", action):
            raise Drop
        self.be_slow()
        kind = SOAP
        if negotiation is not None:
            out = negotiation.encrypt(out)
            kind = f'multipart/encrypted;protocol="{ENCRYPTED}";boundary="Encrypted Boundary"'
        headers = [*extra, ("Content-Type", kind)]
        if endpoint.faults.use("halve_responses", action):
            self.reply_half(status, out, headers)
        self.reply(status, out, headers)

    # -- faults

    def reply_half(self, status: int, body: bytes, headers: Headers) -> None:
        """The head of an answer and half of its body. Raises Drop."""
        self.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        raise Drop

    def disturbed(self, action: str) -> bool:
        """True when a fault has answered in place of the endpoint."""
        faults = self.endpoint.faults
        if faults.use("drop_requests", action):
            raise Drop
        if faults.use("status_503", action):
            self.reply(503, b"", [("Connection", "close")])
            # a sealed message that was not opened puts the two sides' states out of step
            self.close_connection = True
            return True
        if faults.use("status_401", action):
            self.challenge()
            return True
        return False

    def break_after_receives(self, action: str) -> None:
        if not action.endswith("/Receive"):
            return
        faults = self.endpoint.faults
        if faults.reached("drop_after_receives"):
            raise Drop
        if faults.reached("kill_after_receives"):
            self.endpoint.kill_engines()
        if faults.reached("reboot_after_receives"):
            self.endpoint.reboot(faults.reboot_seconds)

    def be_slow(self) -> None:
        faults = self.endpoint.faults
        if not faults.slow:
            return
        time.sleep(faults.slow)
        if faults.slow_next and faults.use("slow_next") and not faults.slow_next:
            faults.slow = 0.0

    # -- authentication

    def challenge(self) -> None:
        headers = []
        if "negotiate" in self.endpoint.auth:
            headers.append(("WWW-Authenticate", "Negotiate"))
        if "basic" in self.endpoint.auth:
            headers.append(("WWW-Authenticate", 'Basic realm="WSMAN"'))
        self.endpoint.stats["401"] += 1
        self.user, self.negotiation = "", None
        self.reply(401, b"", headers)

    def authenticate(self) -> Headers | None:
        """None when an answer has been given, else headers for the answer to come."""
        given = self.headers.get("Authorization", "")
        scheme, _, token = given.partition(" ")
        scheme = scheme.lower()
        endpoint = self.endpoint
        if scheme == "basic" and "basic" in endpoint.auth:
            user, _, password = base64.b64decode(token).decode("utf-8", "replace").partition(":")
            if (user.lower(), password) == (endpoint.user.lower(), endpoint.password):
                self.user = user
                return []
        elif scheme in ("negotiate", "ntlm") and "negotiate" in endpoint.auth:
            return self.negotiate("Negotiate" if scheme == "negotiate" else "NTLM", base64.b64decode(token))
        elif not given and self.user and self.negotiation:  # the connection is authenticated, not the request
            return []
        self.challenge()
        return None

    def negotiate(self, scheme: str, token: bytes) -> Headers | None:
        if self.negotiation is None or self.negotiation.complete:
            certificate = self.endpoint.certificate
            binding = certificate.tls_binding if certificate else None
            self.negotiation, self.user = Negotiation(token, self.endpoint.user_file, binding), ""
        try:
            answer = self.negotiation.step(token)
        except SpnegoError:
            self.challenge()
            return None
        headers = [("WWW-Authenticate", f"{scheme} {base64.b64encode(answer).decode()}")] if answer else []
        if not self.negotiation.complete:
            self.reply(401, b"", headers)
            return None
        self.endpoint.stats["negotiate"] += 1
        self.user = self.negotiation.user
        return headers
