"""Run scripts on this Windows machine: Windows PowerShell is a child process and runs the same command as over a WinRM command shell."""

from __future__ import annotations

import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nbserver.base.errors import HostError, ScriptError
from nbserver.transports import last_words, not_run
from nbserver.transports.answer_limits import ERRORS_KEPT, in_time
from nbserver.transports.lines import Lines
from nbserver.transports.local.linux import PASSED_ON_BEGINS, PASSED_ON_ENDS
from nbserver.transports.payload import NOTHING, Payload
from nbserver.transports.transport import StopRequested
from nbserver.transports.winrm.bootstrap import arguments, whole_input
from nbserver.transports.winrm.transport import SCRIPT_ENDED, STOP_PATIENCE

if TYPE_CHECKING:
    from nbserver.inventory.local_windows_host import LocalWindowsHost

POLL = 0.25  # seconds until a stop request is noticed
LAST_WORDS = 2.0  # seconds to read the last output after PowerShell exits; a program that it started may keep the pipe open
INTERRUPT_SECONDS = 30
EMPTY_READS = 5  # consecutive empty reads after the process has exited that mean the end of the output
PARTS_KEPT = 64  # chunks of output, at most 64 KB each, that wait to be read
POWERSHELL = ("System32", "WindowsPowerShell", "v1.0", "powershell.exe")
CREATE_NO_WINDOW = 0x08000000  # winbase.h; the module subprocess defines the name on Windows only

# The environment variables that a script receives: the locations of Windows folders, and certificates and proxies as on Linux.
# PSModulePath is left out: PowerShell 7 adds modules to it that Windows PowerShell cannot load.
PASSED_ON = frozenset(
    """ALLUSERSPROFILE APPDATA COMMONPROGRAMFILES COMMONPROGRAMFILES(X86) COMMONPROGRAMW6432 COMPUTERNAME COMSPEC HOMEDRIVE HOMEPATH
    LOCALAPPDATA LOGONSERVER NUMBER_OF_PROCESSORS OS PATHEXT PROCESSOR_ARCHITECTURE PROCESSOR_IDENTIFIER PROCESSOR_LEVEL
    PROCESSOR_REVISION PROGRAMDATA PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 PUBLIC SESSIONNAME SYSTEMDRIVE SYSTEMROOT TEMP TMP
    USERDOMAIN USERNAME USERPROFILE WINDIR SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE""".split()
)


class LocalWindowsTransport:
    """Runs scripts on this machine. Each has its own hidden console: it survives this process and does not receive Ctrl-C from the terminal.

    `stop` is checked between polls and stops one script. A later script, which fetches the stopped script's last events, still runs.
    """

    def __init__(self, host: LocalWindowsHost, stop: threading.Event) -> None:
        self._host, self._stop = host, stop
        self._stopped = False
        self.deadline = math.inf
        self._closed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
        """See Transport.run."""
        if self._stop.is_set() and not self._stopped:  # Ctrl-C would arrive before PowerShell can handle it
            self._stopped = True
            raise StopRequested
        process = self._start()
        assert process.stdin and process.stdout and process.stderr
        heard: queue.Queue[bytes] = queue.Queue(PARTS_KEPT)
        errors: queue.Queue[bytes] = queue.Queue(PARTS_KEPT)
        readers = [
            _thread(_read, process, stream, into, self._closed) for stream, into in ((process.stdout, heard), (process.stderr, errors))
        ]
        broken: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        _thread(_write, process.stdin, whole_input(script, envelope, data), broken)
        complaint = b""
        lines, patience_ends, silent_until = Lines(self._host.name), math.inf, math.inf
        while any(reader.is_alive() for reader in readers) and time.monotonic() < silent_until:
            in_time(self._host.name, self.deadline)
            if self._stop.is_set() and not self._stopped:
                self._stopped = True
                interrupt(process.pid)
                patience_ends = time.monotonic() + STOP_PATIENCE
            if time.monotonic() > patience_ends and process.poll() is None:
                process.kill()
            complaint = (complaint + _all(errors))[-ERRORS_KEPT:]
            said = _next(heard)
            if said:
                yield from lines.feed(said)
            elif process.poll() is not None and silent_until == math.inf:
                silent_until = time.monotonic() + LAST_WORDS
        yield from lines.feed(_all(heard))
        yield from lines.end()
        code = process.wait()
        if patience_ends < math.inf:
            raise StopRequested
        if not broken.empty():
            raise broken.get()
        if code not in SCRIPT_ENDED:
            words = last_words.text_of(complaint + _all(errors), "oem" if sys.platform == "win32" else "utf-8")
            raise not_run.by_powershell(self._host.name, words, code)

    def _start(self) -> subprocess.Popen[bytes]:
        root = os.environ.get("SYSTEMROOT", "C:\\Windows")
        program = Path(root, *POWERSHELL)
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                [str(program), *arguments()],
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=environment(os.environ, root),
                cwd=root,
                creationflags=CREATE_NO_WINDOW,
            )
        except OSError as error:
            raise ScriptError(
                "powershell-not-started",
                "could not start Windows PowerShell at {program} ({reason})",
                host=self._host.name,
                todo="Ask this machine's administrator whether a policy blocks PowerShell",
                reason=error.strerror,
                program=program,
            ) from None
        return self._process

    def close(self) -> None:
        """See Transport.close. A running script continues; its further events are in its event file only."""
        self._closed.set()
        self._process = None


def interrupt(pid: int) -> None:
    """Send Ctrl-C to the console of another process: PowerShell stops the script, which runs its `finally` blocks.

    A process can be attached to only one console, so a helper process attaches to the other one.
    """
    program = str(Path(__file__).with_name("console_interrupt.py"))
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-I", program, str(pid)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=INTERRUPT_SECONDS,
            creationflags=CREATE_NO_WINDOW,
            check=False,
        )


def environment(own: Mapping[str, str], root: str) -> dict[str, str]:
    """Return the part of the environment `own` that the script receives. None of it can contain a password from the inventory."""
    found = {
        name: value
        for name, value in own.items()
        if name.upper() in PASSED_ON or name.lower() in PASSED_ON_ENDS or name.upper().startswith(PASSED_ON_BEGINS)
    }
    folders = ("System32", "", "System32\\Wbem", "System32\\WindowsPowerShell\\v1.0")
    return {**found, "PATH": ";".join(f"{root}\\{folder}".rstrip("\\") for folder in folders)}


def _thread(target: object, *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def _read(process: subprocess.Popen[bytes], stream: IO[bytes], into: queue.Queue[bytes], closed: threading.Event) -> None:
    """Read until the process has exited and its output is empty. Once `closed` is set, the output is discarded.

    An empty read does not mean the end of the output: it can come from a write of zero bytes, which .NET uses to test a console
    stream (source: "ReadFile function" on learn.microsoft.com). After the process has exited, several consecutive empty reads
    mean the end.
    """
    empty = 0
    while True:
        ended = process.poll() is not None
        try:
            data = os.read(stream.fileno(), 1 << 16)
        except OSError:
            data = b""
        if data:
            empty = 0
            while not closed.is_set():
                with suppress(queue.Full):
                    into.put(data, timeout=POLL)
                    break
        elif not ended:
            time.sleep(POLL)
        else:
            empty += 1
            if empty == EMPTY_READS:
                return


def _write(stream: IO[bytes], blocks: Iterable[bytes], broken: queue.SimpleQueue[BaseException]) -> None:
    """Write to the process. If it has exited, its exit code reports the failure. `broken` gets what the blocks raise."""
    with suppress(OSError), stream:
        try:
            for block in blocks:
                stream.write(block)
        except HostError as error:
            broken.put(error)


def _next(found: queue.Queue[bytes]) -> bytes:
    try:
        return found.get(timeout=POLL)
    except queue.Empty:
        return b""


def _all(found: queue.Queue[bytes]) -> bytes:
    parts = []
    with suppress(queue.Empty):
        while True:
            parts.append(found.get_nowait())
    return b"".join(parts)
