"""Run scripts on this Linux machine: the bootstrap is a child process and reads the script from standard input, as over SSH."""

from __future__ import annotations

import math
import os
import selectors
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from nbserver.base.errors import ConnectError
from nbserver.transports import last_words, not_run
from nbserver.transports.answer_limits import ERRORS_KEPT, in_time, start_is_too_long
from nbserver.transports.lines import Lines
from nbserver.transports.payload import NOTHING, Payload
from nbserver.transports.ssh.bootstrap import READY, STOP, arguments, standard_input
from nbserver.transports.ssh.transport import SCRIPT_ENDED
from nbserver.transports.transport import StopRequested

if TYPE_CHECKING:
    from nbserver.inventory.local_linux_host import LocalLinuxHost

POLL = 0.25  # seconds until a stop request is noticed

# The environment variables that a script in user scope receives. None of them can contain a password from the inventory.
PASSED_ON = ("HOME", "USER", "LOGNAME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
PASSED_ON_ENDS = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PASSED_ON_BEGINS = ("PIP_", "UV_")


class LocalTransport:
    """Runs scripts on this machine. Each has its own session: it survives this process and does not receive Ctrl-C from the terminal.

    `stop` is checked between polls and stops one script. A later script, which fetches the stopped script's last events, still runs.
    """

    def __init__(self, host: LocalLinuxHost, stop: threading.Event) -> None:
        self._host, self._stop = host, stop
        self._stopped = False
        self.deadline = math.inf
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
        """See Transport.run."""
        process = self._start(["bash", *arguments(script)])
        assert process.stdin and process.stdout and process.stderr
        lines, before, errors, ready, stopped = Lines(self._host.name), b"", b"", False, False
        with selectors.DefaultSelector() as selector:
            for stream in (process.stdout, process.stderr):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                in_time(self._host.name, self.deadline)
                if self._stop.is_set() and not self._stopped:
                    self._stopped = stopped = True
                    if not ready:  # the bootstrap is still waiting for input, and starts nothing without it
                        process.stdin.close()
                        break
                    self._send(process, STOP)
                for key, _ in selector.select(POLL):
                    said = os.read(key.fd, 1 << 16)
                    if not said:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is process.stderr:
                        errors = (errors + said)[-ERRORS_KEPT:]
                    elif ready:
                        yield from lines.feed(said)
                    else:
                        before, found, rest = (before + said).partition(READY)
                        ready = bool(found)
                        if ready:
                            self._send_all(process, standard_input(script, envelope, data), data)
                            yield from lines.feed(rest)
                        else:
                            start_is_too_long(self._host.name, len(before))
        yield from lines.end()
        code = self._code(process)
        self.close()
        if stopped:
            raise StopRequested
        if code not in SCRIPT_ENDED:
            raise not_run.by_bash(self._host.name, last_words.text_of(errors), code)

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise ConnectError(
                "bash-not-started", "could not start bash ({reason})", host=self._host.name, todo="Install bash", reason=error.strerror
            ) from None
        return self._process

    def _code(self, process: subprocess.Popen[bytes]) -> int:
        """Return the exit code. The process may still be running after it has closed its output."""
        while True:
            try:
                return process.wait(POLL)
            except subprocess.TimeoutExpired:
                in_time(self._host.name, self.deadline)

    def _send_all(self, process: subprocess.Popen[bytes], head: bytes, data: Payload) -> None:
        """Write the input. Data that a stop interrupts is cut off, which ends the script."""
        self._send(process, head)
        for block in data.blocks():
            in_time(self._host.name, self.deadline)
            if self._stop.is_set():
                assert process.stdin
                process.stdin.close()
                return
            self._send(process, block)

    @staticmethod
    def _send(process: subprocess.Popen[bytes], data: bytes) -> None:
        """Write to the process. If it has exited, its exit code reports the failure."""
        assert process.stdin
        if process.stdin.closed:
            return
        try:
            process.stdin.write(data)
            process.stdin.flush()
        except BrokenPipeError:
            pass

    def close(self) -> None:
        """See Transport.close. A running script continues; a background thread waits for it, so that no zombie process remains."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout, process.stderr):
            with suppress(OSError):
                if stream:
                    stream.close()
        if process.poll() is None:
            threading.Thread(target=process.wait, daemon=True).start()


def environment() -> dict[str, str]:
    """Return the script's environment. If HOME is not set, it is the user's home folder according to the system."""
    found = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or name.lower() in PASSED_ON_ENDS or name.startswith(PASSED_ON_BEGINS)
    }
    return {"HOME": os.path.expanduser("~"), **found, "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}  # noqa: PTH111 (Path raises if there is none)
