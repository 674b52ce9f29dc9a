"""A kernel's channels over WSS: run a cell, and collect what it prints and draws.

Messages use Jupyter's messaging protocol 5.3 in the notebook server's JSON form, without a subprotocol.
"""

from __future__ import annotations

import base64
import json
import ssl
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookies import CookieError
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import websocket

from nbserver.base.errors import VerifyError
from nbserver.base.message import DescribedError, cause, message
from nbserver.base.plain_text import clean
from nbserver.verify.notebook_client import IF_DAMAGED, NOT_A_NOTEBOOK

if TYPE_CHECKING:
    from typing import Self

    from nbserver.base.allowance import Allowance

_web_socket: Any = websocket.WebSocket  # some of its methods have no types

LARGEST_CELL = 4 * 1024 * 1024
"""Bytes of all messages while one cell runs. The picture needs less than a tenth of that."""
_LARGEST_HANDSHAKE = 16 * 1024  # reading a cookie takes quadratic time in older Pythons (http.cookies)
_CLOSE_SECONDS = 1
_LONGEST_PING = 125
_MOST_FRAMES = 10_000
_MOST_PICTURES = 10
_TRACEBACK_LINES = 20
_LINE_CHARACTERS = 200
_GONE = ("dead", "restarting", "autorestarting")


@dataclass
class Output:
    """The output of a cell: its standard output, its PNG pictures, and whether it is done."""

    printed: list[str] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    idle: bool = False

    def take(self, kind: object, content: dict[str, Any]) -> None:
        """Add one message of the cell. Raises ValueError for a picture that is not Base64, or for too many pictures."""
        if kind == "stream" and content.get("name") == "stdout":
            self.printed.append(_text(content, "text"))
        elif kind in ("display_data", "execute_result"):
            data = content.get("data")
            if isinstance(data, dict) and "image/png" in data:
                if len(self.pictures) == _MOST_PICTURES:
                    raise DescribedError("too-many-pictures", "the kernel sent more than {limit} pictures", limit=_MOST_PICTURES)
                self.pictures.append(_decoded(_text(data, "image/png")))
        elif kind == "execute_reply":
            self.reply = content
        elif kind == "status":
            self.idle = content.get("execution_state") == "idle"

    @property
    def stdout(self) -> str:
        return "".join(self.printed)

    @property
    def done(self) -> bool:
        """Whether the cell is done. The reply and the state idle can come in either order."""
        return self.reply is not None and self.idle


class KernelChannel:
    """One WebSocket to one kernel, over a TLS connection that is already verified and respects `allowance`.

    `host` is the name in the inventory, for errors. Raises VerifyError for a failure of the server or the kernel, TooMuch, and
    the exceptions of websocket and the socket if the connection fails. Redirects are not followed.
    """

    def __init__(self, tls: ssl.SSLSocket, *, url: str, origin: str, cookie: str, host: str, seconds: float, allowance: Allowance) -> None:
        self.host = host
        self._allowance = allowance
        self._frames = 0
        self._session = uuid.uuid4().hex
        self._socket = _web_socket(skip_utf8_validation=True)  # websocket's check is slow, and the JSON is decoded strictly
        allowance.exchange(
            seconds, _LARGEST_HANDSHAKE
        )  # the server answers only when the kernel does, which can take longer than a page on a slow host
        parts = urlsplit(url)
        # websocket stores cookies for the whole process by the host name in the URL, and could send them to another server. It
        # does not connect by this name, so a random name keeps cookies from matching.
        nowhere = parts._replace(netloc=uuid.uuid4().hex, query=f"session_id={self._session}").geturl()
        try:
            self._socket.connect(
                nowhere,
                socket=tls,
                host=parts.netloc,
                origin=origin,
                cookie=cookie,
                timeout=seconds,
                redirect_limit=0,
            )
        except websocket.WebSocketBadStatusException as error:
            tls.close()
            raise VerifyError(
                "websocket-rejected",
                "the server rejected the WebSocket connection to the kernel (HTTP status {status})",
                host=host,
                todo="If a proxy or load balancer is in front of the server, it must forward WebSocket connections and the Host and Origin headers unchanged",
                status=error.status_code,
            ) from None
        except (ValueError, LookupError, CookieError):
            tls.close()
            raise VerifyError(
                "websocket-not-http", "the server's response to the WebSocket request is not valid HTTP", host=host, todo=NOT_A_NOTEBOOK
            ) from None
        except BaseException:
            tls.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._allowance.exchange(_CLOSE_SECONDS, _LARGEST_HANDSHAKE)
        self._socket.close(timeout=_CLOSE_SECONDS)

    def run(self, code: str, *, seconds: float) -> Output:
        """Run a cell and return its output. A cell that raises causes a VerifyError with the kernel's traceback."""
        self._allowance.exchange(seconds, LARGEST_CELL)
        self._frames = 0
        request = uuid.uuid4().hex
        output = Output()
        try:
            self._socket.send(json.dumps(self._execute_request(request, code)))
            while not output.done:
                self._take(self._receive(), request, output)
        except (TimeoutError, websocket.WebSocketTimeoutException):
            raise VerifyError(
                "cell-too-slow",
                "the test cell did not finish within {seconds} s",
                host=self.host,
                todo="Check the load and free memory of the host, then run nbserver verify again",
                seconds=f"{self._allowance.over() or seconds:.0f}",
            ) from None
        self._raise_where_failed(output.reply or {})
        return output

    def _take(self, message: dict[str, Any], request: str, output: Output) -> None:
        kind, content = message["header"].get("msg_type"), message["content"]
        if kind == "status" and content.get("execution_state") in _GONE:
            raise VerifyError(
                "kernel-died",
                "the kernel died while running the test cell",
                host=self.host,
                todo="Check the notebook server's log on the host for out-of-memory errors or a library that failed to load. {advice}",
                advice=IF_DAMAGED,
            )
        if message["parent_header"].get("msg_id") == request:
            try:
                output.take(kind, content)
            except ValueError as error:
                raise VerifyError(
                    "kernel-sent", "the kernel sent unexpected output: {reason}", host=self.host, todo=NOT_A_NOTEBOOK, reason=cause(error)
                ) from None

    def _receive(self) -> dict[str, Any]:
        """Return the next message of the kernel's protocol."""
        while True:
            try:
                message = json.loads(self._receive_text())
            except (ValueError, RecursionError):
                raise VerifyError(
                    "kernel-message-not-json", "the server sent a message that is not valid JSON", host=self.host, todo=NOT_A_NOTEBOOK
                ) from None
            if isinstance(message, dict) and all(isinstance(message.get(part), dict) for part in ("header", "parent_header", "content")):
                return message

    def _receive_text(self) -> bytes:
        """Return the next text message, joined from its frames. websocket's own method takes quadratic time for many small frames.

        Binary messages carry buffers of widgets, which these cells do not create, and are skipped.
        """
        text, kind = bytearray(), None
        while True:
            frame = self._socket.recv_frame()
            self._frames += 1
            if self._frames > _MOST_FRAMES:
                raise VerifyError(
                    "kernel-too-many-messages",
                    "the server sent more than {limit} messages for one test cell",
                    host=self.host,
                    todo=NOT_A_NOTEBOOK,
                    limit=_MOST_FRAMES,
                )
            if frame.opcode == websocket.ABNF.OPCODE_CLOSE:
                raise websocket.WebSocketConnectionClosedException("closed")
            if frame.opcode == websocket.ABNF.OPCODE_PING:
                if len(frame.data) > _LONGEST_PING:
                    raise websocket.WebSocketProtocolException("the ping is too long")
                self._socket.pong(frame.data)
            if frame.opcode not in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_CONT):
                continue
            if (frame.opcode == websocket.ABNF.OPCODE_CONT) != (kind is not None):
                raise websocket.WebSocketProtocolException("a fragment is out of order")
            kind = frame.opcode if kind is None else kind
            text += frame.data
            if frame.fin:
                if kind == websocket.ABNF.OPCODE_TEXT:
                    return bytes(text)
                text, kind = bytearray(), None

    def _execute_request(self, request: str, code: str) -> dict[str, Any]:
        return {
            "channel": "shell",
            "header": {
                "msg_id": request,
                "msg_type": "execute_request",
                "username": "nbserver",
                "session": self._session,
                "version": "5.3",
                "date": datetime.now(UTC).isoformat(),
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
        error = clean(_text(reply, "ename"), _LINE_CHARACTERS) or message("some-error", "an unnamed error")
        reason = clean(_text(reply, "evalue"))
        traceback = reply.get("traceback")
        lines = [line for part in traceback if isinstance(part, str) for line in part.splitlines()] if isinstance(traceback, list) else []
        shown = "".join(f"\n    {clean(line, _LINE_CHARACTERS)}" for line in lines[-_TRACEBACK_LINES:])
        if shown:
            raise VerifyError(
                "cell-failed-with-traceback",
                "the test cell failed with {error}: {reason}{traceback}\n",
                host=self.host,
                todo=IF_DAMAGED,
                error=error,
                reason=reason,
                traceback=shown,
            )
        raise VerifyError(
            "cell-failed",
            "the test cell failed with {error}: {reason}",
            host=self.host,
            todo=IF_DAMAGED,
            error=error,
            reason=reason,
        )


def _text(values: dict[str, Any], name: str) -> str:
    """Return the string of this name, or "" if it is not a string."""
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _decoded(picture: str) -> bytes:
    try:
        return base64.b64decode("".join(picture.split()), validate=True)
    except ValueError:  # also for non-ASCII characters
        raise DescribedError("picture-not-base64", "the kernel sent a picture that is not valid Base64") from None
