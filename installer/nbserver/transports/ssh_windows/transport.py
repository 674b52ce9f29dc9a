"""SSH to Windows with asyncssh: one connection, one exec of the bootstrap, which reads the script from standard input."""

from __future__ import annotations

import asyncio
import math
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncssh

from nbserver.base.errors import HostError
from nbserver.inventory.ssh_server import of_host
from nbserver.transports import last_words, not_run
from nbserver.transports.answer_limits import complaint_is_too_long, in_time, start_is_too_long
from nbserver.transports.lines import Lines
from nbserver.transports.payload import NOTHING, Payload
from nbserver.transports.ssh.command import RemoteCommand
from nbserver.transports.ssh.connection import Connection
from nbserver.transports.ssh.errors import explain
from nbserver.transports.ssh_windows import not_started
from nbserver.transports.ssh_windows.bootstrap import FULL, READY, bootstrap, stop_request, whole_input
from nbserver.transports.ssh_windows.refusals import on_windows
from nbserver.transports.ssh_windows.shell import PROBE, Shell, command, shell_of
from nbserver.transports.transport import LogonSecrets, StopRequested
from nbserver.transports.winrm.transport import SCRIPT_ENDED, STOP_PATIENCE

if TYPE_CHECKING:
    from nbserver.inventory.windows_host import WindowsHost

ENDED = {code & 0xFF for code in SCRIPT_ENDED}  # asyncssh passes on only these bits of an exit code
STOP_PAUSE = 1.0  # seconds between requests to stop a script that has not begun yet


class SshWindowsTransport:
    """A connection to a Windows host with an SSH server.

    `stop` is checked between polls and stops one script. A later script, which fetches the stopped script's last events, still
    runs. The transport waits until a stopped script has ended.
    """

    def __init__(self, host: WindowsHost, logon: LogonSecrets, stop: threading.Event) -> None:
        self._server, self._stop = of_host(host), stop
        self._stopped = False
        self.deadline = math.inf
        self._shell: Shell | None = None
        try:
            way = [*zip(host.hops, logon.hops, strict=True), (self._server, logon)]
            self._connection = Connection(host.name, way, stop)
        except HostError as error:
            raise on_windows(error, self._server) from error

    def run(self, script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
        """See Transport.run."""
        self._shell = self._shell or self._default_shell()
        number = secrets.token_hex(16)
        started = self._start(command(self._shell, bootstrap()))
        sending = self._connection.start(_send(started, whole_input(script, number, envelope, data)))
        tasks: list[asyncio.Task[None]] = [sending]
        patience_ends = math.inf
        output = _Output(self._server.name, self._server.connect_timeout)
        try:
            while not started.ended and time.monotonic() < patience_ends:
                if self._stop.is_set() and not self._stopped:
                    self._stopped = True
                    patience_ends = time.monotonic() + STOP_PATIENCE
                    if sending.done():
                        tasks.append(self._connection.start(self._request_stop(started, command(self._shell, stop_request(number)))))
                    else:  # nothing starts before all of the input has arrived
                        sending.cancel()
                        started.end_input()
                in_time(self._server.name, self.deadline)
                self._connection.turn_until_news(started)
                if sending.done() and not sending.cancelled():
                    sending.result()  # raises what reading a file raised
                complaint_is_too_long(self._server.name, started.complained)
                yield from output.feed(started, waiting=sending.done() and patience_ends == math.inf)
        except (OSError, ValueError) as error:
            raise explain(error, self._server) from error
        finally:
            for task in tasks:
                task.cancel()
        yield from self._last(output, started, stopped=patience_ends < math.inf)

    def _last(self, output: _Output, started: RemoteCommand, *, stopped: bool) -> Iterator[str]:
        """Yield the rest of the output, and raise what the end of the command means. A line that a lost connection cut off is discarded."""
        if started.ended and started.exit_code is None:
            error = started.lost or OSError("no exit status")
            raise explain(error, self._server) from error
        yield from output.feed(started, waiting=False)
        yield from output.end()
        if stopped:
            raise StopRequested
        code = started.exit_code or 0
        if output.mode is None:
            raise not_started.powershell_not_started(self._server.name, started.stderr, code)
        if output.mode != FULL:
            raise not_started.restricted(self._server.name, output.mode)
        if code not in ENDED:
            raise not_run.by_powershell(self._server.name, last_words.of_console(started.stderr), code)

    def _default_shell(self) -> Shell:
        """Return the shell that runs commands on the host. So no other program receives the envelope."""
        asked = self._start(PROBE)
        asked.end_input()  # PowerShell does not end before its input
        output, ends = b"", time.monotonic() + self._server.connect_timeout
        while not asked.ended:
            if self._stop.is_set() and not self._stopped:
                self._stopped = True
                raise StopRequested
            if time.monotonic() > ends:
                raise not_started.shell_silent(self._server.name, self._server.connect_timeout)
            self._connection.turn_until_news(asked)
            output += asked.take()
            start_is_too_long(self._server.name, len(output))
        output += asked.take()
        if asked.lost is not None:
            raise explain(asked.lost, self._server)
        shell = shell_of(output)
        if shell is None:
            raise not_started.other_shell(self._server.name, output, asked.stderr, asked.exit_code)
        return shell

    async def _request_stop(self, started: RemoteCommand, line: str) -> None:
        """Ask until the script has heard it: it may not have begun yet, and a host may limit the number of sessions."""
        while not started.ended:
            with suppress(asyncssh.Error, OSError):
                asked = await RemoteCommand.begin(self._connection.connection, line)
                asked.end_input()
                while not asked.ended:
                    await asked.news()
                    asked.take()
                if asked.exit_code == 0:
                    return
            await asyncio.sleep(STOP_PAUSE)

    def _start(self, line: str) -> RemoteCommand:
        begin = asyncio.wait_for(RemoteCommand.begin(self._connection.connection, line), self._server.connect_timeout)
        try:
            return self._connection.wait_unless(threading.Event() if self._stopped else self._stop, begin)
        except StopRequested:
            self._stopped = True
            raise
        except Exception as error:
            raise explain(error, self._server) from error

    def close(self) -> None:
        """See Transport.close. A running script continues."""
        self._connection.close()


class _Output:
    """The output of a bootstrap. What is before its first line, from a profile or a banner, is ignored.

    `mode` is the language mode that PowerShell has reported, or None if it has not started.
    """

    def __init__(self, host: str, patience: float) -> None:
        self._host, self._patience = host, patience
        self._lines = Lines(host)
        self._before = b""
        self._ends: float | None = None
        self.mode: str | None = None

    def feed(self, started: RemoteCommand, *, waiting: bool) -> Iterator[str]:
        """Yield the lines that have arrived. `waiting` is whether PowerShell has to begin in time: it has its whole input."""
        data = started.take()
        if self.mode is None:
            self._before += data
            found = READY.search(self._before)
            if found is None:
                start_is_too_long(self._host, len(self._before))
                self._begins_in_time(started, waiting=waiting)
                return
            self.mode, data = found[1].decode("ascii"), self._before[found.end() :]
        yield from self._lines.feed(data)

    def _begins_in_time(self, started: RemoteCommand, *, waiting: bool) -> None:
        if waiting and self._ends is None:
            self._ends = time.monotonic() + self._patience
        if waiting and self._ends is not None and time.monotonic() > self._ends and not started.ended:
            raise not_started.powershell_silent(self._host, started.stderr, self._patience)

    def end(self) -> Iterator[str]:
        """Yield the text after the last line end."""
        yield from self._lines.end()


async def _send(started: RemoteCommand, blocks: Iterator[bytes]) -> None:
    """Send the whole input, and end it: PowerShell as the default shell does not end before its input."""
    await started.send_all(blocks)
    started.end_input()
