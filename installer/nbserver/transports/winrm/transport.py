"""WinRM with pywinrm: one connection, one command shell, and the bootstrap as a command, which reads the script from standard input."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from nbserver.base.errors import ConnectError, ScriptError
from nbserver.transports import last_words, not_run
from nbserver.transports.answer_limits import IDLE_PAUSE, complaint_is_too_long, in_time
from nbserver.transports.lines import Lines
from nbserver.transports.payload import NOTHING, Payload, pieces
from nbserver.transports.transport import StopRequested
from nbserver.transports.winrm.bootstrap import PROGRAM, arguments, whole_input
from nbserver.transports.winrm.command import CHUNK, RemoteCommand
from nbserver.transports.winrm.connection import forget, open_protocol
from nbserver.transports.wsman.errors import explain
from nbserver.transports.wsman.wrong_tls import explain_opening

if TYPE_CHECKING:
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.transports.ssh.forward import Forward

# Seconds: between attempts to reconnect; for a stopped script to undo its temporary changes.
RECONNECT_PAUSES = (0.5, 2.0, 5.0)
STOP_PATIENCE = 120
# Exit codes of a script that ran: done, differs, failed with an event, a reboot is pending.
SCRIPT_ENDED = (0, 2, 3, 3010)


class WinrmTransport:
    """A connection to a Windows host that offers a command shell but no PowerShell remoting.

    As with PSRP, `stop` is checked between polls and stops one script. A later script still runs. `way` leads through the host's
    jump hosts.
    """

    def __init__(self, host: WindowsHost, password: str | None, stop: threading.Event, way: Forward | None = None) -> None:
        self._way = way
        self._host, self._stop = host, stop
        self._stopped = False
        self._lost = False
        self.deadline = math.inf
        try:
            self._protocol = open_protocol(host, password, lambda: self.deadline, way.dial if way else None)
            self._shell = self._protocol.open_shell()
        except Exception as error:
            raise explain_opening(error, host, way) from error

    def run(self, script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
        """See Transport.run."""
        command, lines = RemoteCommand(self._protocol, self._shell), Lines(self._host.name)
        begun, patience_ends = False, math.inf
        try:
            command.start(PROGRAM, arguments())
            last = b""
            for chunk in pieces(whole_input(script, envelope, data), CHUNK):
                in_time(self._host.name, self.deadline)
                if self._stop.is_set() and not self._stopped:
                    self._stopped = True
                    raise StopRequested
                if last:
                    command.send(last, end=False)
                last = chunk
            begun = True  # the script may start once its last part has been sent
            command.send(last, end=True)
            while not command.done and time.monotonic() < patience_ends:
                if self._stop.is_set() and not self._stopped:
                    self._stopped = True
                    command.interrupt()
                    patience_ends = time.monotonic() + STOP_PATIENCE
                in_time(self._host.name, self.deadline)
                said = self._poll(command, lines)
                complaint_is_too_long(self._host.name, command.complained)
                yield from lines.feed(said)
                if not said and not command.done:
                    time.sleep(IDLE_PAUSE)
        except StopRequested:
            raise
        except Exception as error:
            told = explain(error, self._host) if self._way is None else self._way.explained(explain(error, self._host))
            self._lost = begun and isinstance(told, ConnectError)
            raise told from error
        with suppress(Exception):  # this only frees resources on the host
            command.terminate()
        yield from lines.end()
        if patience_ends < math.inf:
            raise StopRequested
        if command.exit_code not in SCRIPT_ENDED:
            raise self._failed(command)

    def _poll(self, command: RemoteCommand, lines: Lines) -> bytes:
        """Wait for output. The shell on the host survives a lost connection, and a new connection continues with it.

        A lost response is not sent again; the event numbers show the gap.
        """
        from requests.exceptions import ChunkedEncodingError, ConnectionError

        for pause in (*RECONNECT_PAUSES, None):
            try:
                return command.receive()
            except (ConnectionError, ChunkedEncodingError):  # ChunkedEncodingError: lost in the middle of a response
                lines.torn()
                if pause is None or (self._way and self._way.is_lost) or self._stop.wait(pause):
                    raise
                forget(self._protocol)
        raise AssertionError("the last attempt returns or raises")

    def _failed(self, command: RemoteCommand) -> ScriptError:
        return not_run.by_powershell(self._host.name, last_words.of_console(command.stderr), command.exit_code)

    def close(self) -> None:
        """See Transport.close. After a lost connection, the shell stays open: closing it would stop the script."""
        with suppress(Exception):  # the connection may already be closed, and nothing depends on it anymore
            if not self._lost:
                self._protocol.close_shell(self._shell)
        with suppress(Exception):
            forget(self._protocol)
        if self._way:
            self._way.close()
