"""Serve a bundle over HTTPS: the files of its list and nothing else, read only, to a limited number of connections."""

from __future__ import annotations

import errno
import http.server
import os
import re
import socket
import socketserver
import ssl
import stat
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from nbserver.base import open_files, plain_file
from nbserver.base.plain_text import clean
from nbserver.bundle import contents
from nbserver.bundle.contents import File
from nbserver.catalog import mirror

MOST_CONNECTIONS = 2000  # of 40 hosts: uv opens 50
_OTHER_FILES = 64  # that this process has open
_SECONDS = 30.0  # for the handshake, each part of a request, and each block that is sent
_WAIT_SECONDS = 5.0  # for another connection to end, if there are too many
_BLOCK = 64 * 1024
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True)
class Served:
    """A file that is served. Its `tag` changes with its contents; `size` is what its list says, or None."""

    path: Path
    kind: str
    tag: str
    size: int | None


def served(bundle: Path, files: Iterable[File]) -> dict[str, Served]:
    """Return the files of a bundle by the path of their URL. `files` are those of its list."""
    found = {f"/{one.path}": Served(bundle / one.path, "application/octet-stream", one.sha256, one.size) for one in files}
    lists = {mirror.PAGE: "text/html; charset=utf-8", contents.FILE_NAME: "application/json"}
    return found | {f"/{name}": Served(bundle / name, kind, "", None) for name, kind in lists.items()}


def _most_connections() -> int:
    """Return how many connections this process can serve, each of which needs a socket and a file."""
    return open_files.at_a_time(MOST_CONNECTIONS, each=2, others=_OTHER_FILES)


class MirrorServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens at once; `serve_forever` serves. `log` gets a line for each request.

    Raises OSError if the address cannot be used.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"
    request_queue_size = 1024

    def __init__(self, address: str, port: int, files: Mapping[str, Served], context: ssl.SSLContext, log: Callable[[str], object]) -> None:
        self.files, self.context, self.log = files, context, log
        self._free = threading.BoundedSemaphore(_most_connections())
        every = address in ("", "*")
        dual = every and socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if dual or ":" in address else socket.AF_INET
        super().__init__(("" if every else address, port), _Handler, bind_and_activate=False)
        try:
            if dual:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.server_bind()
            self.server_activate()
        except BaseException:
            self.server_close()
            raise

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(timeout=_WAIT_SECONDS):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # there is no thread for it
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection. TLS begins here and not in the thread that accepts, which a silent client would stop."""
        request.settimeout(_SECONDS)
        with suppress(OSError), self.context.wrap_socket(request, server_side=True) as tls:
            _Handler(tls, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: the connection is closed, and others continue."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MirrorServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "nbserver", ""
    timeout = _SECONDS

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        file = self.server.files.get(unquote(self.path.partition("?")[0]))
        try:
            opened = _open(file) if file else None
        except OSError:
            self._head(503, 0, {})
            return
        if file is None or opened is None:
            self._head(404, 0, {})
            return
        with opened:
            size = os.fstat(opened.fileno()).st_size
            begin, end = self._range(file, size)
            if begin >= size:
                self._head(416, 0, {"Content-Range": f"bytes */{size}"})
                return
            headers = {"Content-Type": file.kind, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
            headers |= {"ETag": f'"{file.tag}"'} if file.tag else {}
            is_part = (begin, end) != (0, size)
            self._head(
                206 if is_part else 200, end - begin, headers | ({"Content-Range": f"bytes {begin}-{end - 1}/{size}"} if is_part else {})
            )
            if with_body:
                self._send(opened, begin, end)

    def _range(self, file: Served, size: int) -> tuple[int, int]:
        """Return the bytes that the request asks for. Several ranges, or those of other contents, are the whole file."""
        match = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", self.headers.get("Range", ""))
        if not match or not (match[1] or match[2]) or self.headers.get("If-Range", f'"{file.tag}"') != f'"{file.tag}"':
            return 0, size
        if not match[1]:
            return max(0, size - int(match[2])), size
        begin, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        return (0, size) if match[2] and int(match[2]) < begin else (begin, end)

    def _head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send(self, file: BinaryIO, begin: int, end: int) -> None:
        file.seek(begin)
        left = end - begin
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            self.wfile.write(block)
            left -= len(block)
        self.close_connection = self.close_connection or left > 0  # the file has become shorter

    def log_message(self, format: str, *arguments: Any) -> None:
        self.server.log(clean(f"{self.client_address[0]} {format % arguments}", 500))


def _open(file: Served) -> BinaryIO | None:
    """Return the open file, or None if it is not what it was when the bundle was checked. Raises OSError if too many files are open."""
    try:
        if plain_file.is_link(os.lstat(file.path.parent)):
            return None
        opened = plain_file.opened(file.path)
    except OSError as error:
        if error.errno in _TOO_MANY_FILES:
            raise
        return None
    found = os.fstat(opened.fileno())
    if stat.S_ISREG(found.st_mode) and (file.size is None or found.st_size == file.size):
        return opened
    opened.close()
    return None
