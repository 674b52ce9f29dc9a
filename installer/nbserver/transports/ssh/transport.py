"""SSH with asyncssh: one connection, one exec of the bootstrap, which reads the script from standard input."""

from __future__ import annotations

import asyncio
import math
import re
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nbserver.base.errors import ConnectError, HostError, ScriptError
from nbserver.transports import last_words, not_run
from nbserver.transports.answer_limits import complaint_is_too_long, in_time, start_is_too_long
from nbserver.transports.lines import Lines
from nbserver.transports.payload import NOTHING, Payload
from nbserver.transports.ssh.bootstrap import PROMPT, READY, STOP, command, standard_input
from nbserver.transports.ssh.command import RemoteCommand
from nbserver.transports.ssh.connection import Connection
from nbserver.transports.ssh.errors import explain
from nbserver.transports.ssh.not_started import not_started, sudo_asks_twice, sudo_refuses_password, sudo_waits, sudo_wants_password
from nbserver.transports.transport import LogonSecrets, StopRequested

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost

# Exit codes of a script that ran: done, differs, failed with an event, a reboot is needed.
SCRIPT_ENDED = (0, 2, 3, 102)
# sudo's prompt, but not its text in a command line that a shell shows before it runs it (set -x in bash, set echo in csh).
# sudo-rs shows [sudo: PROMPT] and then the question itself.
_PROMPT = re.compile(rb"(?:\[sudo: )?" + re.escape(PROMPT.encode()) + rb"(?!'| --)")


class SshTransport:
    """A connection to a Linux host.

    `stop` is checked between polls and stops one script. A later script, which fetches the stopped script's last events, still
    runs. The transport waits until a stopped script has ended.
    """

    def __init__(self, host: LinuxHost, secrets: LogonSecrets, stop: threading.Event) -> None:
        self._host, self._stop = host, stop
        self._stopped = False
        self.deadline = math.inf
        self._sudo = host.sudo and host.user != "root"
        self._sudo_password = secrets.sudo_password
        self._connection = Connection(host.name, [*zip(host.hops, secrets.hops, strict=True), (host, secrets)], stop)

    def run(self, script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
        """See Transport.run."""
        started = self._start(command(script, sudo=self._sudo))
        sending: asyncio.Task[None] | None = None
        stopped = False
        try:
            rest = self._until_ready(started)
            started.send(standard_input(script, envelope, data))
            sending = self._connection.start(started.send_all(data.blocks()))
            lines = Lines(self._host.name)
            yield from lines.feed(rest)
            while not started.ended:
                if self._stop.is_set() and not self._stopped:
                    self._stopped = stopped = True
                    self._stop_script(started, sending)
                in_time(self._host.name, self.deadline)
                self._connection.turn_until_news(started)
                if sending.done() and not sending.cancelled():
                    sending.result()  # raises what reading a file raised
                complaint_is_too_long(self._host.name, started.complained)
                yield from lines.feed(started.take())
        except (OSError, ValueError) as error:
            raise explain(error, self._host) from error
        finally:
            if sending is not None:
                sending.cancel()
        yield from self._last(lines, started)
        if stopped:
            raise StopRequested
        if started.exit_code not in SCRIPT_ENDED:
            raise self._failed(started)

    @staticmethod
    def _stop_script(started: RemoteCommand, sending: asyncio.Task[None]) -> None:
        """Ask the script to stop. In the middle of the data, only the end of the input can do that."""
        if sending.done():
            started.send(STOP)
        else:
            sending.cancel()
            started.end_input()

    def _start(self, line: str) -> RemoteCommand:
        begin = asyncio.wait_for(RemoteCommand.begin(self._connection.connection, line), self._host.connect_timeout)
        try:
            return self._connection.wait_unless(threading.Event() if self._stopped else self._stop, begin)
        except StopRequested:
            self._stopped = True
            raise
        except Exception as error:
            raise explain(error, self._host) from error

    def _until_ready(self, started: RemoteCommand) -> bytes:
        """Wait until the bootstrap is ready, and return what follows its ready line. A password is sent only if sudo asks, and only once.

        Output before that line, from the shell's start-up files, is ignored.
        """
        before, since, answered, ends = b"", 0, False, time.monotonic() + self._host.connect_timeout
        while True:
            before += started.take()
            _, ready, rest = before.partition(READY)
            if ready:
                return rest
            start_is_too_long(self._host.name, len(before))
            said = _before_prompt(started.stderr, before[since:]) if self._sudo else None
            if said is not None:
                self._answer(started, answered, said)
                answered, started.stderr, since = True, b"", len(before)
                ends = time.monotonic() + self._host.connect_timeout
            if started.ended:
                raise self._never_ready(started, before, answered)
            if time.monotonic() > ends:
                started.end_input()
                raise self._silent(started.stderr or before[since:])
            if self._stop.is_set() and not self._stopped:
                self._stopped = True
                started.end_input()
                raise StopRequested
            self._connection.turn_until_news(started)

    def _answer(self, started: RemoteCommand, answered: bool, said: bytes) -> None:
        """Answer sudo's prompt once. `said` is what came before it: the second prompt follows a rejection, or is for something else."""
        if not answered and self._sudo_password is not None:
            started.send(self._sudo_password.encode() + b"\n")
            return
        started.end_input()
        if not answered:
            raise sudo_wants_password(self._host)
        raise sudo_refuses_password(self._host) if said.strip() else sudo_asks_twice(self._host)

    def _silent(self, output: bytes) -> HostError:
        if self._sudo:
            return sudo_waits(self._host, output)
        return not_started(self._host, None, last_words.text_of(output), sudo=False)

    def _last(self, lines: Lines, started: RemoteCommand) -> Iterator[str]:
        """Yield the rest of the output. A line that a lost connection cut off is discarded."""
        if started.lost is not None or (started.exit_code is None and not started.signal):
            error = started.lost or OSError("no exit status")
            raise explain(error, self._host) from error
        yield from lines.feed(started.take())
        yield from lines.end()

    def _never_ready(self, started: RemoteCommand, output: bytes, answered: bool) -> HostError:
        if started.lost is not None:
            return explain(started.lost, self._host)
        if started.exit_code is None:
            return ConnectError(
                "ssh-session-closed",
                "the host closed the session before the script started",
                host=self._host.name,
                todo="Check sshd's log on the host",
            )
        words = last_words.text_of(started.stderr.strip() or output)
        return not_started(self._host, started.exit_code, words, sudo=self._sudo, answered=answered)

    def _failed(self, started: RemoteCommand) -> ScriptError:
        return not_run.by_bash(self._host.name, last_words.text_of(started.stderr), started.exit_code, started.signal)

    def close(self) -> None:
        """See Transport.close. A running script continues."""
        self._connection.close()


def _before_prompt(*outputs: bytes) -> bytes | None:
    """Return what is before sudo's prompt, or None if sudo does not ask."""
    for output in outputs:
        found = _PROMPT.search(output)
        if found:
            return output[: found.start()]
    return None
