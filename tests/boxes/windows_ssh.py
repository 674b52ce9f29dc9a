r"""An SSH server in front of a Windows in a box, which starts commands as that of Windows does (Win32-OpenSSH).

with powershell_on(host), WindowsSshd(host, user="anna", password="...") as server:
    ...

As on Windows: the default shell is cmd.exe or PowerShell (DefaultShell), which gets the command as one argument. cmd.exe refuses
lines that are too long. Three pipes are standard input, output and error output, and lines end in CRLF. A command ends with an exit
code of 32 bits and never with a signal; requests for signals are refused. When the connection is lost, the pipes close, and what
was started goes on (issue 1751 of PowerShell/Win32-OpenSSH). A session that dies with sshd has no exit status.
What stands in: cmd.exe is Wine's; PowerShell is version 7, also as the default shell. Everybody is an administrator.
Source: contrib/win32/win32compat/w32-doexec.c in PowerShell/openssh-portable.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Literal

import asyncssh
from asyncssh.packet import UInt32

from tests.boxes.marked_process import kill_marked, marked
from tests.boxes.windows import WindowsBox
from tests.boxes.windows_powershell import PROGRAM
from tests.boxes.wine import WINE, environment
from tests.boxes.winrm.cmd_shell import REBOOT

DefaultShell = Literal["cmd", "powershell", "bash", "forced", "silent"]
CMD = r"c:\windows\system32\cmd.exe"
CMD_LINE_LIMIT = 8191
FORCED = b"This service allows sftp connections only.\r\n"  # what ForceCommand internal-sftp answers
POLL = 0.1  # seconds until the end of a program is noticed that left its pipes to another one


class WindowsSshd:
    """Listens on 127.0.0.1 from the start; `close` ends it and all that it started. `port`, `fingerprint`, and `commands` are public.

    `shell` is the default shell: "bash" is one of Unix, "forced" is ForceCommand, "silent" never answers. `greeting` is what a
    profile prints before each command. It admits `user` with the password, and with the keys of `authorized`.
    """

    def __init__(
        self, host: WindowsBox, *, user: str, password: str = "", authorized: Sequence[asyncssh.SSHKey] = (), max_sessions: int = 10
    ) -> None:
        self.host, self.user, self.password, self.authorized = host, user, password, list(authorized)
        self.shell: DefaultShell = "cmd"
        self.greeting = b""
        self.max_sessions = max_sessions
        self.commands: list[str] = []
        self.received: list[bytes] = []  # standard input of each command
        self._open: set[asyncssh.SSHServerProcess[bytes]] = set()
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._marks: list[bytes] = []
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self.fingerprint = self._key.get_fingerprint()
        self.public_key = self._key.export_public_key().decode().strip()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._acceptor = self._in_loop(self._listen())
        self.port: int = self._acceptor.get_port()

    def _in_loop(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(
            lambda: _Logon(self),
            "127.0.0.1",
            0,
            server_host_keys=[self._key],
            process_factory=self._run,
            encoding=None,
            allow_pty=False,
            line_editor=False,
        )

    # -- what a test does to it

    def drop(self) -> None:
        """The network fails: connections break off, and what was started goes on."""
        self._in_loop(self._abort())

    async def _abort(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    def end_sessions(self) -> None:
        """The session processes of sshd die: their channels close without an exit status."""
        self._in_loop(self._close_channels())

    async def _close_channels(self) -> None:
        for process in list(self._open):
            process.channel.close()

    # -- sessions

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        if len(self._open) >= self.max_sessions:
            process.channel.close()
            return
        self._open.add(process)
        try:
            code = await self._command(process, process.command or "")
            if not process.channel.is_closing():
                process.channel._send_request(b"exit-status", UInt32(code))  # asyncssh itself would send its last 8 bits
                process.channel.close()
        finally:
            self._open.discard(process)

    async def _command(self, process: asyncssh.SSHServerProcess[bytes], command: str) -> int:
        self.commands.append(command)
        process.stdout.write(self.greeting)
        if self.shell == "forced":
            process.stdout.write(FORCED)
            return 1
        if self.shell == "silent":
            await process.wait_closed()
        line = f'"{CMD}" /c "{command}"'
        if self.shell == "cmd" and len(line) > CMD_LINE_LIMIT:
            process.stderr.write(b"The command line is too long.\r\n")
            return 1
        return await self._program(process, self._arguments(command))

    def _arguments(self, command: str) -> list[str]:
        if self.shell == "bash":
            return ["/bin/bash", "-c", command]
        if self.shell == "powershell":
            return [WINE, PROGRAM, "-c", command]
        return [WINE, "cmd", "/c", *command.split(" ")]  # in quotes, Wine's takes all of it for the name of a file

    async def _program(self, process: asyncssh.SSHServerProcess[bytes], arguments: list[str]) -> int:
        pipe = subprocess.PIPE
        carrying, mark = marked(environment(self.host.prefix))
        self._marks.append(mark)
        home = next(path for path in self.host.path(r"C:\users").iterdir() if path.name != "Public")
        started = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=carrying, cwd=home, start_new_session=True)
        assert started.stdin and started.stdout and started.stderr
        self.received.append(b"")
        feeding = asyncio.create_task(self._feed(process, started, len(self.received) - 1))
        outputs = [(started.stdout, process.stdout), (started.stderr, process.stderr)]
        pumps = [asyncio.create_task(self._pump(started, *each)) for each in outputs]
        try:
            await asyncio.gather(*pumps)
        except (OSError, asyncssh.Error):
            pass  # the client has gone
        finally:
            feeding.cancel()
            for stream in (started.stdin, started.stdout, started.stderr):
                with suppress(OSError):
                    stream.close()
        code = await asyncio.to_thread(started.wait)
        return REBOOT if code == REBOOT & 0xFF else code

    async def _feed(self, process: asyncssh.SSHServerProcess[bytes], started: subprocess.Popen[bytes], number: int) -> None:
        assert started.stdin
        with suppress(OSError, ValueError, asyncssh.Error):
            while True:
                try:
                    data = await process.stdin.read(65536)
                except asyncssh.SignalReceived:
                    continue  # Windows has none
                if not data:
                    break
                self.received[number] += data
                await asyncio.to_thread(_write, started.stdin, data)
        with suppress(OSError, ValueError):
            started.stdin.close()

    @staticmethod
    async def _pump(started: subprocess.Popen[bytes], source, sink) -> None:  # type: ignore[no-untyped-def]
        """Passes the output on. It ends with the program: Wine's services may have inherited the pipe."""
        ended = False
        os.set_blocking(source.fileno(), False)
        while True:
            data = source.read(65536)
            if data:
                sink.write(data)
                await sink.drain()
                if sink.channel.is_closing():
                    raise BrokenPipeError
            elif data == b"" or ended:
                return
            else:
                ended = started.poll() is not None
                if sink.channel.is_closing():
                    raise BrokenPipeError
                await asyncio.sleep(0 if ended else POLL)

    def close(self) -> None:
        self._in_loop(self._shut())
        for mark in self._marks:
            kill_marked(mark)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _shut(self) -> None:
        self._acceptor.close()
        await self._abort()

    def __enter__(self) -> WindowsSshd:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _write(stream, data: bytes) -> None:  # type: ignore[no-untyped-def]
    stream.write(data)
    stream.flush()


class _Logon(asyncssh.SSHServer):
    """Admits the user with a password or a key."""

    def __init__(self, server: WindowsSshd) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._server._connections.discard(self._connection)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True  # AllowTcpForwarding

    def password_auth_supported(self) -> bool:
        return bool(self._server.password)

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (self._server.user, self._server.password)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._server.user and key in self._server.authorized
