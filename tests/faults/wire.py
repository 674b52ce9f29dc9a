"""The way between an endpoint and its client: one packet an answer, and cut where a test says."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal

from tests.boxes.winrm.endpoint import RESET_ON_CLOSE, Endpoint
from tests.boxes.winrm.http_server import Drop
from tests.boxes.winrm.output import Output

# before: the connection is reset, and the packet waits; in: half of the answer comes, and the packet is lost;
# after: the whole answer comes, then the connection is reset; gone: as before, and every later Receive meets the same.
# lost: the request is carried out, and the connection is reset instead of an answer.
Cut = Literal["before", "in", "after", "gone", "lost"]
EVENT = re.compile(rb'\{"v":1,"n":(\d+),')


class OnePacket(Output):
    """Hands out one packet of the engine at a time, and counts them from 1. `cuts` says where to cut."""

    def __init__(self, cuts: Mapping[int, Cut], here: threading.local) -> None:
        super().__init__()
        self.cuts, self.here = dict(cuts), here
        self.given: list[str] = []  # what each packet was
        self.gone = self.away = False

    def take(self, limit: int, deadline: float, alive: Callable[[], bool]) -> tuple[list[tuple[str, bytes]], bool]:
        if self.away:
            raise Drop
        taken, _ = super().take(limit, deadline, alive)
        with self.changed:
            self.chunks.extendleft(reversed(taken[1:]))
            cut = self.cuts.pop(len(self.given) + 1, None) if taken else None
            if cut in ("before", "gone"):
                self.chunks.appendleft(taken[0])
                self.away = cut == "gone"
                raise Drop
            self.here.cut = cut
            self.given += [name_of(data, self.given) for _, data in taken[:1]]
            return taken[:1], self.done and not self.chunks


def name_of(data: bytes, before: list[str]) -> str:
    """`event 3`, `event 3, more`, or `end` for the packet that says how the pipeline ended."""
    event = EVENT.search(data)
    if event:
        return f"event {event[1].decode()}"
    if b"PipelineState" in data:
        return "end"
    return before[-1].removesuffix(", more") + ", more" if before else "?"


class Wire:
    """On `endpoint` until `remove`. `arm` holds for the next pipeline; `log` has the packets of each pipeline since."""

    def __init__(self, endpoint: Endpoint, monkeypatch: Any) -> None:
        self.endpoint, self.here = endpoint, threading.local()
        self.armed: dict[int, Cut] = {}
        self.lose: tuple[str, int, bool] | None = None
        self.log: list[OnePacket] = []
        self._handle = endpoint.wsman.handle
        monkeypatch.setattr(endpoint.wsman, "handle", self.handle)
        monkeypatch.setattr("tests.boxes.winrm.ps_shell.Output", self.output)

    def arm(self, **cuts: Cut) -> None:
        """`arm(p3="in")`: cut in the answer with the third packet."""
        self.armed = {int(name[1:]): cut for name, cut in cuts.items()}
        self.log.clear()

    def arm_request(self, action: str, number: int, answered: bool) -> None:
        """Reset the connection at the `number`th request of this kind (Command, Send): before or after it is carried out."""
        self.lose = (action, number, answered)

    def output(self) -> OnePacket:
        """In place of the shell's Output: what the next pipeline says."""
        cuts, self.armed = self.armed, {}
        self.log.append(OnePacket(cuts, self.here))
        return self.log[-1]

    def handle(self, xml: bytes, alive: Callable[[], bool]) -> tuple[int, bytes]:
        """In place of the endpoint's own."""
        connection: Any = alive.__self__  # type: ignore[attr-defined]  # the HTTP connection of this request
        lost = self._loses(xml)
        if lost is False:
            reset(connection)
        self.here.cut = None
        status, out = self._handle(xml, alive)
        if lost or self.here.cut == "lost":
            reset(connection)
        if self.here.cut == "in":
            connection.send_response(status)
            connection.send_header("Content-Type", "application/soap+xml;charset=UTF-8")
            connection.send_header("Content-Length", str(len(out)))
            connection.end_headers()
            connection.wfile.write(out[: len(out) // 2])
            connection.wfile.flush()
            reset(connection)
        if self.here.cut == "after":
            connection.close_connection = True
        return status, out

    def _loses(self, xml: bytes) -> bool | None:
        if self.lose is None or f"shell/{self.lose[0]}</".encode() not in xml:
            return None
        action, number, answered = self.lose
        self.lose = (action, number - 1, answered) if number > 1 else None
        return answered if number == 1 else None


def reset(connection: Any) -> None:
    """RST instead of an orderly end. Raises Drop."""
    connection.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    raise Drop
