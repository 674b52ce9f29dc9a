"""A kernel's channels over WSS: run a cell, collect what it prints and draws.

Messages are those of Jupyter's messaging protocol 5.3 in the notebook server's JSON form; no subprotocol is asked for.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import ssl
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import websocket

from installer.errors import VerifyError

if TYPE_CHECKING:
    from typing_extensions import Self

_web_socket: Any = websocket.WebSocket  # some of its methods have no types

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TRACEBACK_LINES = 20
_TRACEBACK_CHARACTERS = 3000
_GONE = {"dead", "restarting", "autorestarting"}


@dataclass
class Output:
    """What a cell left: its standard output, its PNG pictures, and whether it is done."""

    stdout: str = ""
    stderr: str = ""
    pictures: list[bytes] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    idle: bool = False

    def take(self, kind: str, content: dict[str, Any]) -> None:
        """Adds one message of the cell. Raises ValueError for a picture that is not base64."""
        if kind == "stream" and content.get("name") == "stdout":
            self.stdout += str(content.get("text", ""))
        elif kind == "stream":
            self.stderr += str(content.get("text", ""))
        elif kind in ("display_data", "execute_result"):
            data = content.get("data")
            if isinstance(data, dict) and "image/png" in data:
                try:
                    self.pictures.append(base64.b64decode("".join(str(data["image/png"]).split()), validate=True))
                except binascii.Error:
                    raise ValueError("a picture that is not base64") from None
        elif kind == "execute_reply":
            self.reply = content
        elif kind == "status":
            self.idle = content.get("execution_state") == "idle"

    @property
    def done(self) -> bool:
        """The reply and the state idle come in either order."""
        return self.reply is not None and self.idle


class KernelChannel:
    """One WebSocket to one kernel, over a TLS connection that was checked already.

    `host` is the name in the inventory, for errors. Raises VerifyError for what the server or the kernel says, and
    websocket's and the socket's exceptions where the connection fails. A redirect is not followed.
    """

    def __init__(self, tls: ssl.SSLSocket, *, url: str, origin: str, cookie: str, host: str, seconds: float) -> None:
        self.host = host
        self._session = uuid.uuid4().hex
        self._socket = _web_socket()
        tls.settimeout(seconds)  # the server answers when the kernel does, which may take a slow host longer than a page
        try:
            self._socket.connect(
                f"{url}?session_id={self._session}",
                socket=tls,
                host=urlsplit(url).netloc,
                origin=origin,
                cookie=cookie,
                timeout=seconds,
                redirect_limit=0,
            )
        except websocket.WebSocketBadStatusException as error:
            tls.close()
            what = f"the server refused the WebSocket to the kernel with status {error.status_code}"
            todo = "Where a proxy or load balancer stands in front of it, let it pass WebSockets, Host and Origin unchanged"
            raise VerifyError(what, host=host, todo=todo) from None
        except BaseException:
            tls.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close(timeout=1)

    def run(self, code: str, *, seconds: float) -> Output:
        """Runs a cell and returns what it left; a cell that raises is a VerifyError with the kernel's traceback."""
        deadline = time.monotonic() + seconds
        request = uuid.uuid4().hex
        self._socket.settimeout(seconds)
        self._socket.send(json.dumps(self._execute_request(request, code)))
        output = Output()
        while not output.done:
            message = self._receive(deadline, seconds)
            kind, content = message["header"].get("msg_type"), message["content"]
            if kind == "status" and content.get("execution_state") in _GONE:
                todo = "Look at the notebook server's log on the host: memory, or a library that does not load"
                raise VerifyError("the kernel died while the cell ran", host=self.host, todo=todo)
            if message["parent_header"].get("msg_id") == request:
                try:
                    output.take(str(kind), content)
                except ValueError as error:
                    raise VerifyError(f"the kernel sent {error}", host=self.host) from None
        self._raise_where_failed(output.reply or {})
        return output

    def _receive(self, deadline: float, seconds: float) -> dict[str, Any]:
        while True:
            try:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                text = self._socket.recv()
            except (TimeoutError, websocket.WebSocketTimeoutException):
                todo = "The host may be slow or out of memory: look at its load, then run nbserver verify again"
                raise VerifyError(f"the cell was not done after {seconds:.0f} s", host=self.host, todo=todo) from None
            if not isinstance(text, str):
                continue  # a binary message carries buffers (widgets), which no cell of ours makes
            if not text and not self._socket.connected:
                raise websocket.WebSocketConnectionClosedException("closed")
            try:
                message = json.loads(text)
            except ValueError:
                raise VerifyError("the server sent a message that is no JSON", host=self.host) from None
            if isinstance(message, dict) and all(isinstance(message.get(part), dict) for part in ("header", "parent_header", "content")):
                return message

    def _execute_request(self, request: str, code: str) -> dict[str, Any]:
        return {
            "channel": "shell",
            "header": {
                "msg_id": request,
                "msg_type": "execute_request",
                "username": "nbserver",
                "session": self._session,
                "version": "5.3",
                "date": datetime.now(timezone.utc).isoformat(),
            },
            "parent_header": {},
            "metadata": {},
            "buffers": [],
            "content": {
                "code": code,
                "silent": False,
                "store_history": False,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": True,
            },
        }

    def _raise_where_failed(self, reply: dict[str, Any]) -> None:
        if reply.get("status") == "ok":
            return
        name, value = plain(str(reply.get("ename", "an error"))), plain(str(reply.get("evalue", "")))
        lines = plain("\n".join(map(str, reply.get("traceback") or []))).splitlines()[-_TRACEBACK_LINES:]
        traceback = "\n".join(lines)[-_TRACEBACK_CHARACTERS:]
        what = f"the cell failed with {name}: {value}" + (f"\n{traceback}\n" if traceback else "")
        raise VerifyError(what, host=self.host, todo="nbserver plan shows what differs on the host")


def plain(text: str) -> str:
    """Without colours and other control characters, fit for a terminal."""
    return "".join(c for c in _ANSI.sub("", text) if c in "\n\t" or c.isprintable())
