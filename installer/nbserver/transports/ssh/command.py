"""One command over a connection: its input, its output as it comes, its end."""

from __future__ import annotations

import asyncio

import asyncssh

from nbserver.transports.answer_limits import ERRORS_KEPT


class RemoteCommand(asyncssh.SSHClientSession[bytes]):
    """What asyncssh tells about the command is kept here until it is taken.

    `ended` once it is over, with `exit_code` (None where the host did not say), or `lost`, why the connection is gone.
    `stderr` has the beginning of what it complained, which was `complained` bytes long.
    """

    def __init__(self) -> None:
        self._output = bytearray()
        self._stdin: asyncssh.SSHClientChannel[bytes] | None = None
        self._news = asyncio.Event()
        self.stderr, self.complained = b"", 0
        self.exit_code: int | None = None
        self.signal = ""
        self.ended = False
        self.lost: Exception | None = None

    def send(self, data: bytes) -> None:
        """Puts it on the way; nothing happens where the command has ended meanwhile."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(data)

    def end_input(self) -> None:
        """The command reads the end of its input."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write_eof()

    def take(self) -> bytes:
        """The output since the last time."""
        data = bytes(self._output)
        self._output.clear()
        self._news.clear()
        return data

    async def news(self) -> None:
        """Waits for output, a complaint or the end."""
        await self._news.wait()

    # -- called by asyncssh

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._stdin = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self.stderr = (self.stderr + data)[:ERRORS_KEPT]
            self.complained += len(data)
        else:
            self._output += data
        self._news.set()

    def eof_received(self) -> bool:
        return True  # its end is told by connection_lost

    def exit_status_received(self, status: int) -> None:
        self.exit_code = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self.signal = signal

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost, self.ended = exc, True
        self._news.set()
