"""The way between a workstation and sshd: passes bytes on, counts them, and cuts where a test says."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Literal

Direction = Literal["up", "down"]
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CHUNK = 65536


class Wire:
    """Listens on 127.0.0.1; `port` is the workstation's, `target` sshd's.

    `cut(direction, after)` holds for the next connection: it is reset on both sides once it has passed so many bytes that way.
    `cut_what_comes(direction, after)` is the same for the one that is open, counted from now on.
    `silent` passes nothing on any more, without a word to anybody.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._armed: dict[Direction, int] = {}
        self._limits: dict[Direction, int] = {}
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}
        self.was_cut = False
        self._now: tuple[socket.socket, ...] = ()
        self.silent = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, direction: Direction, after: int) -> None:
        self._armed = {direction: after}
        self.was_cut = False

    def cut_what_comes(self, direction: Direction, after: int) -> None:
        self.was_cut = False
        self._limits[direction] = self.passed[direction] + after

    def reset(self) -> None:
        """Cuts the last connection now."""
        reset(*self._now)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.passed = {"up": 0, "down": 0}
            self._now = (client, server)
            limits = self._limits = self._armed
            self._armed = {}
            for direction, source, sink in (("up", client, server), ("down", server, client)):
                threading.Thread(target=self._pass, args=(direction, source, sink, limits), daemon=True).start()

    def _pass(self, direction: Direction, source: socket.socket, sink: socket.socket, limits: dict[Direction, int]) -> None:
        passed = 0
        try:
            while data := source.recv(_CHUNK):
                if self.silent.is_set():
                    continue
                limit = limits.get(direction)
                if limit is not None and passed + len(data) > limit:
                    sink.sendall(data[: limit - passed])
                    self.was_cut = True
                    reset(source, sink)
                    return
                sink.sendall(data)
                passed += len(data)
                self.passed[direction] = passed
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            reset(source, sink)

    def close(self) -> None:
        self._listener.close()


def reset(*sockets: socket.socket) -> None:
    """RST instead of an orderly end; what was sent before may be lost with it."""
    for one in sockets:
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            one.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it
        except OSError:
            pass
        one.close()
