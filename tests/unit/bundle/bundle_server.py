"""A web server of one file, which answers well or in one of many wrong ways."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from nbserver.bundle.contents import File

DATA = bytes(range(256)) * 4000
PAGE = b"<!DOCTYPE html><title>Sign in</title>"


@dataclass
class Served:
    """`ways` are how the next requests are answered, first come, first served; afterwards all is well. `ranges` are what was asked for."""

    url: str
    ways: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    data: bytes = DATA

    def file(self, name: str = "tool.zip", **changes: object) -> File:
        values: dict[str, object] = {"sha256": hashlib.sha256(DATA).hexdigest(), "size": None, **changes}
        return File("program", "python", "3.13.1", name, url=f"{self.url}/{name}", **values)  # type: ignore[arg-type]


@contextmanager
def served() -> Iterator[Served]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            found.ranges.append(asked)
            way = found.ways.pop(0) if found.ways else ""
            match = re.fullmatch(r"bytes=(\d+)-", asked)
            begin = int(match[1]) if match else 0
            if way.isdigit():
                return self._answer(int(way), b"")
            if way == "page":
                return self._answer(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
            if way == "unnamed page":
                return self._answer(200, PAGE)
            if way == "wrong part":
                return self._answer(206, DATA[7:], {"Content-Range": f"bytes 7-{len(DATA) - 1}/{len(DATA)}"})
            if way == "whole":
                return self._answer(200, found.data)
            if way == "cut":
                part = {"Content-Range": f"bytes {begin}-{len(found.data) - 1}/{len(found.data)}"} if begin else {}
                return self._answer(206 if begin else 200, found.data[begin : begin + 300_000], part, len(found.data) - begin)
            if way == "drip":
                return self._drip()
            if way == "mute":
                over.wait()
                return None
            if way == "silent":
                self._answer(200, found.data[:300_000], length=len(found.data))
                over.wait()
                return None
            if way.startswith("to "):
                return self._answer(302, b"", {"Location": way[3:]})
            if way == "endless":
                return self._answer(200, found.data * 3, length=0)
            if begin >= len(found.data) > 0 and match:
                return self._answer(416, b"")
            if match:
                return self._answer(206, found.data[begin:], {"Content-Range": f"bytes {begin}-{len(found.data) - 1}/{len(found.data)}"})
            return self._answer(200, found.data)

        def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if length != 0:
                self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def _drip(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(found.data)))
            self.end_headers()
            self.close_connection = True
            with suppress(OSError):  # the client has given up
                for byte in found.data[:200]:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.01)

        def log_message(self, *arguments: object) -> None: ...

    over = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Served(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield found
        finally:
            over.set()
            server.shutdown()
            thread.join()
