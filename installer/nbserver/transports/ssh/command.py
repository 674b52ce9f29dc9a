"""One command over an SSH connection: its input, output, and exit status."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Self, cast

import asyncssh

from nbserver.transports.answer_limits import ERRORS_KEPT

WAITING = 2_097_152  # bytes that wait for the connection before no more are read from the disk


class RemoteCommand(asyncssh.SSHClientSession[bytes]):
    """Collects what asyncssh reports about the command.

    `ended` is True once the command has finished. Then `exit_code` is set (None if the host did not report it), or `lost` is the
    reason why the connection was lost. `stderr` is the end of the error output, which has `complained` bytes in total.
    """

    def __init__(self) -> None:
        self._output = bytearray()
        self._stdin: asyncssh.SSHClientChannel[bytes] | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.stderr, self.complained = b"", 0
        self.exit_code: int | None = None
        self.signal = ""
        self.ended = False
        self.lost: Exception | None = None

    @classmethod
    async def begin(cls, connection: asyncssh.SSHClientConnection, line: str) -> Self:
        """Start the command with a pipe for each stream, without a pseudo-terminal, and without this environment.

        A terminal could echo secrets, and on Windows it wraps lines.
        """
        _, command = await connection.create_session(
            cls, line, encoding=None, request_pty=False, env=None, send_env=None, x11_forwarding=False
        )
        return cast(Self, command)

    def send(self, data: bytes) -> None:
        """Send data to the command. Does nothing if the command has ended."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(data)

    async def send_all(self, blocks: Iterator[bytes]) -> None:
        """Send block after block, each once the connection has room for it, until the command ends."""
        for block in blocks:
            await self._room.wait()
            if self.ended:
                return
            self.send(block)
            await asyncio.sleep(0)  # the connection may have no room now

    def end_input(self) -> None:
        """Close the input of the command."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write_eof()

    def take(self) -> bytes:
        """Return the output since the last call."""
        data = bytes(self._output)
        self._output.clear()
        self._news.clear()
        return data

    async def news(self) -> None:
        """Wait for output, error output, or the end of the command."""
        await self._news.wait()

    # -- called by asyncssh

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._stdin = chan
        chan.set_write_buffer_limits(WAITING)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self.stderr = (self.stderr + data)[-ERRORS_KEPT:]
            self.complained += len(data)
        else:
            self._output += data
        self._news.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def eof_received(self) -> bool:
        return True  # connection_lost reports the end

    def exit_status_received(self, status: int) -> None:
        self.exit_code = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self.signal = signal

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost, self.ended = exc, True
        self._room.set()
        self._news.set()
