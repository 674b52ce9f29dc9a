"""A notebook server that means harm: it answers as a real one would, up to the stage that a test replaces.

Stages are "GET /login", "POST /api/kernels" and the like, and "WS" for what follows the WebSocket's handshake.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote_plus

from tests.notebook_server import PASSWORD, Certificate

KERNEL = "11111111-2222-3333-4444-555555555555"
MOST = 64 * 1024 * 1024  # where a client takes all, the server stops here

Stage = Callable[["Connection"], None]


class Connection:
    """One request of a client, and the way back to it. `gone` is set when the test is over."""

    def __init__(self, tls: ssl.SSLSocket, head: str, body: bytes, server: HostileServer) -> None:
        self.head, self.body, self.gone = head, body, server.gone
        self._tls, self._server = tls, server

    def send(self, data: bytes) -> None:
        self._tls.sendall(data)
        self._server.accepted += len(data)

    def answer(self, status: int, body: bytes = b"", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
        self.send("\r\n".join(lines).encode() + body)

    def flood(self, data: bytes, *, head: bytes = b"") -> None:
        """The head, then the data again and again."""
        self.send(head)
        for _ in range(MOST // len(data)):
            self.send(data)

    def drip(self, data: bytes, *, head: bytes = b"") -> None:
        """The head, then the data ten times a second until the client has gone."""
        self.send(head)
        while not self.gone.wait(0.1):
            self.send(data)

    def frame(self, data: bytes, *, opcode: int = 1, final: bool = True, length: int | None = None) -> bytes:
        """A WebSocket frame of a server."""
        size = len(data) if length is None else length
        long = struct.pack("!BBQ", opcode | (0x80 if final else 0), 127, size)
        return (long if size > 125 else struct.pack("!BB", opcode | (0x80 if final else 0), size)) + data

    def cell(self) -> str:
        """The id of the next request to run a cell."""
        first, second = self._exactly(2)
        assert first & 15 == 1
        size = second & 127
        size = (
            struct.unpack("!H", self._exactly(2))[0] if size == 126 else struct.unpack("!Q", self._exactly(8))[0] if size == 127 else size
        )
        mask = self._exactly(4)
        text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(self._exactly(size)))
        return str(json.loads(text)["header"]["msg_id"])

    def say(self, parent: str, kind: Any, **content: Any) -> None:
        """A message of the kernel to a cell."""
        message = {"header": {"msg_type": kind}, "parent_header": {"msg_id": parent}, "content": content}
        self.send(self.frame(json.dumps(message).encode()))

    def until_it_leaves(self) -> None:
        """The client says that it closes; then the connection ends."""
        self._tls.recv(65536)
        raise ConnectionError

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._tls.recv(size - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data


class HostileServer:
    """`accepted` is how many bytes clients took, `requests` what they asked for, `stages` what a test replaced."""

    def __init__(self, certificate: Certificate) -> None:
        self.fingerprint = certificate.fingerprint
        self.stages: dict[str, Stage] = {}
        self.before_tls: Callable[[socket.socket], None] | None = None
        self.accepted = 0
        self.requests: list[str] = []
        self.gone = threading.Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def stop(self) -> None:
        self.gone.set()
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if self.before_tls:
                self.before_tls(client)
            with self._context.wrap_socket(client, server_side=True) as tls:
                while head := self._head(tls):
                    length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0)
                    body = b""
                    while len(body) < length:
                        body += tls.recv(length - len(body))
                    self._answer(Connection(tls, head, body, self))

    def _head(self, tls: ssl.SSLSocket) -> str:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = tls.recv(1)
            if not byte:
                return ""
            head += byte
        return head.decode("latin-1")

    def _answer(self, client: Connection) -> None:
        method, target, _ = client.head.split("\r\n")[0].split(" ")
        path = target.partition("?")[0]
        self.requests.append(f"{method} {path}")
        web_socket = path.endswith("/channels")
        stage = self.stages.get("handshake" if web_socket else f"{method} {path}")
        if stage:
            stage(client)
        elif web_socket:
            self.open(client)
            self.stages["WS"](client)
        elif path == "/login" and method == "GET":
            client.answer(200, b"", "Set-Cookie: _xsrf=1; Path=/")
        elif path == "/login":
            client.answer(302 if f"password={quote_plus(PASSWORD)}".encode() in client.body else 401, b"", "Location: /tree")
        elif method == "GET" and path == "/api/status":
            client.answer(200, b"{}")
        elif method == "POST":
            client.answer(201, json.dumps({"id": KERNEL}).encode())
        else:
            client.answer(204 if method == "DELETE" else 403)

    def open(self, client: Connection, *headers: str) -> None:
        """The answer that opens a WebSocket."""
        key = next(line.split(": ")[1] for line in client.head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        lines = ["HTTP/1.1 101 X", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}", *headers, "", ""]
        client.send("\r\n".join(lines).encode())


@contextmanager
def hostile_server(certificate: Certificate) -> Iterator[HostileServer]:
    server = HostileServer(certificate)
    try:
        yield server
    finally:
        server.stop()
