"""A TLS server on this machine that answers as a test says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

Answer = Callable[[str], bytes]


class Files(Protocol):
    """A certificate and its key, in PEM."""

    @property
    def certificate(self) -> Path: ...
    @property
    def key(self) -> Path: ...


@contextmanager
def server(files: Files, answer: Answer) -> Iterator[tuple[int, list[str]]]:
    """Its port, and the heads of the requests that it got; of a connection without one, an empty text."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    listener = socket.create_server(("127.0.0.1", 0))
    heads: list[str] = []

    def serve(raw: socket.socket) -> None:
        with contextlib.suppress(OSError), raw, context.wrap_socket(raw, server_side=True) as client:
            head = b""
            while b"\r\n\r\n" not in head and (data := client.recv(4096)):
                head += data
            heads.append(head.decode("ascii"))
            if head:
                client.sendall(answer(heads[-1]))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], heads
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
