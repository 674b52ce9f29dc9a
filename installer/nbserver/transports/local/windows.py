"""This machine, a Windows one: Windows PowerShell as a child process. What is run is what runs over WinRM's command shell."""

from __future__ import annotations

import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nbserver.base.errors import ScriptError
from nbserver.transports.answer_limits import ERRORS_KEPT, in_time
from nbserver.transports.lines import Lines
from nbserver.transports.local.linux import PASSED_ON_BEGINS, PASSED_ON_ENDS
from nbserver.transports.transport import StopRequested
from nbserver.transports.winrm.bootstrap import arguments, standard_input
from nbserver.transports.winrm.transport import SCRIPT_ENDED, STOP_PATIENCE

if TYPE_CHECKING:
    from nbserver.inventory.local_windows_host import LocalWindowsHost

POLL = 0.25  # seconds after which a stop is heard
LAST_WORDS = 2.0  # seconds for what PowerShell wrote before it ended; a program that it left behind may keep the pipe open
INTERRUPT_SECONDS = 30
EMPTY_READS = 5  # in a row, after the process has ended: then nothing is left
PARTS_KEPT = 64  # of the output, at most 64 KB each, until somebody takes them
POWERSHELL = ("System32", "WindowsPowerShell", "v1.0", "powershell.exe")
CREATE_NO_WINDOW = 0x08000000  # [winbase.h]; the module subprocess has the name on Windows only

# Of this process's environment, what a script may see: where Windows has things, and certificates and proxies as on Linux.
# Not PSModulePath: PowerShell 7 puts modules there that Windows PowerShell cannot load.
PASSED_ON = frozenset(
    """ALLUSERSPROFILE APPDATA COMMONPROGRAMFILES COMMONPROGRAMFILES(X86) COMMONPROGRAMW6432 COMPUTERNAME COMSPEC HOMEDRIVE HOMEPATH
    LOCALAPPDATA LOGONSERVER NUMBER_OF_PROCESSORS OS PATHEXT PROCESSOR_ARCHITECTURE PROCESSOR_IDENTIFIER PROCESSOR_LEVEL
    PROCESSOR_REVISION PROGRAMDATA PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 PUBLIC SESSIONNAME SYSTEMDRIVE SYSTEMROOT TEMP TMP
    USERDOMAIN USERNAME USERPROFILE WINDIR SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE""".split()
)


class LocalWindowsTransport:
    """Runs scripts on this machine, each in a console of its own that nobody sees: it hears no Ctrl-C of the terminal and goes on when this process ends.

    `stop` is looked at between polls and stops one script: what is run after it, to hear how that one ended, runs.
    """

    def __init__(self, host: LocalWindowsHost, stop: threading.Event) -> None:
        self._host, self._stop = host, stop
        self._stopped = False
        self.deadline = math.inf
        self._closed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        """See Transport.run."""
        if self._stop.is_set() and not self._stopped:  # Ctrl-C would come before PowerShell hears one
            self._stopped = True
            raise StopRequested
        process = self._start()
        assert process.stdin and process.stdout and process.stderr
        heard: queue.Queue[bytes] = queue.Queue(PARTS_KEPT)
        errors: queue.Queue[bytes] = queue.Queue(PARTS_KEPT)
        readers = [
            _thread(_read, process, stream, into, self._closed) for stream, into in ((process.stdout, heard), (process.stderr, errors))
        ]
        _thread(_write, process.stdin, standard_input(script, envelope))
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
            complaint = (complaint + _all(errors))[:ERRORS_KEPT]
            data = _next(heard)
            if data:
                yield from lines.feed(data)
            elif process.poll() is not None and silent_until == math.inf:
                silent_until = time.monotonic() + LAST_WORDS
        yield from lines.feed(_all(heard))
        yield from lines.end()
        code = process.wait()
        if patience_ends < math.inf:
            raise StopRequested
        if code not in SCRIPT_ENDED:
            words = " ".join(
                (complaint + _all(errors))[:ERRORS_KEPT].decode("oem" if sys.platform == "win32" else "utf-8", "replace").split()
            )
            raise ScriptError(
                f"PowerShell could not run the script: {words or f'it ended with code {code} and gave no reason'}", host=self._host.name
            )

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
            words, todo = (
                f"Windows PowerShell cannot be started ({error.strerror}): {program}",
                "Ask whoever looks after this machine whether a policy forbids it",
            )
            raise ScriptError(words, host=self._host.name, todo=todo) from None
        return self._process

    def close(self) -> None:
        """See Transport.close. A script that still runs goes on: what it says then is in its file of events only."""
        self._closed.set()
        self._process = None


def interrupt(pid: int) -> None:
    """Ctrl-C in the console of another process: PowerShell stops the script, which runs its `finally`.

    A process has one console at most, so another one is sent there and this one keeps its own.
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
    """What the script sees of the environment `own`. No variable in it could hold a password of the inventory."""
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
    """Reads to the end of the process: nothing that reads like an end before it is one. Once `closed`, what it reads is let go.

    A write of no bytes may do so, and .NET tries a console's stream with one. Source: "ReadFile function" on learn.microsoft.com.
    So what is read after the process has ended is at its end only when several reads in a row give nothing.
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


def _write(stream: IO[bytes], data: bytes) -> None:
    """What has ended reads no more; its exit code tells."""
    with suppress(OSError), stream:
        stream.write(data)


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
