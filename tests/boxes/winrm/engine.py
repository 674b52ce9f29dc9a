"""One `pwsh -s`: PSRP on standard streams ([MS-PSRP]'s out-of-process transport)."""

from __future__ import annotations

import base64
import collections
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from tests.boxes.marked_process import carriers, kill_marked, marked
from tests.boxes.winrm.wsman_fault import WSManFault, aborted, timed_out

ZERO = "00000000-0000-0000-0000-000000000000"
LAST_WORDS = 2000  # bytes of its standard error
PACKET = re.compile(rb"<(\w+)(?: Stream='(\w+)')? PSGuid='([0-9a-fA-F-]{36})'\s*(?:/>|>(.*?)</\1>)", re.S)


class Engine:
    """A running engine.

    Every packet is answered by an ack, and the engine hands each line to a thread pool: packets with the same PSGuid must
    be sent one at a time, each after the ack of the one before, or they are processed out of order. The engine ends by
    itself at the end of its standard input, so none outlives the endpoint. (Not PR_SET_PDEATHSIG: it fires when the
    *thread* that started the child ends, here that of one HTTP connection.)
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        marked_environment, self.mark = marked(environment)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the engine runs)
        self.process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            start_new_session=True,
            env=marked_environment,
        )
        self.write_lock = threading.Lock()
        self.changed = threading.Condition()
        self.acks: collections.Counter[tuple[str, str]] = collections.Counter()
        self.locks: dict[str, threading.Lock] = collections.defaultdict(threading.Lock)
        self.dead = self.killed = False
        self.own: frozenset[int] = frozenset()  # its own processes: Windows programs start themselves again
        self.on_data: Callable[[str, bytes], None] = lambda guid, data: None
        self.on_death: Callable[[], None] = lambda: None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            packet = PACKET.search(line)
            if not packet:
                continue
            kind, guid = packet[1].decode(), packet[3].decode().upper()
            if kind == "Data":
                self.on_data(guid, base64.b64decode(packet[4] or b""))
            else:
                with self.changed:
                    self.acks[kind, guid] += 1
                    self.changed.notify_all()
        with self.changed:
            killed = self.killed  # whoever hears that it is dead may kill what is left of it
            self.dead = True
            self.changed.notify_all()
        self.process.wait()
        if not killed:
            self.tell_end()
        self.on_death()

    def tell_end(self) -> None:
        """What an engine that nobody ended wrote last: in the output of the test that was running."""
        if self.process.returncode:
            self.errors.seek(max(0, self.errors.seek(0, os.SEEK_END) - LAST_WORDS))
            said = self.errors.read().decode("utf-8", "replace").strip()
            print(f"an engine ended with exit code {self.process.returncode}; {said}", file=sys.stderr)

    def call(self, kind: str, guid: str, data: bytes | None = None, stream: str = "Default", timeout: float = 120) -> None:
        """Sends one packet and waits for its ack. Raises WSManFault: time-out, or aborted when the engine is dead."""
        guid = guid.upper()
        if data is not None:
            line = f"<{kind} Stream='{stream}' PSGuid='{guid}'>{base64.b64encode(data).decode()}</{kind}>\n"
        else:
            line = f"<{kind} PSGuid='{guid}' />\n"
        ack = (kind + "Ack", guid)
        # a prompt response must not wait behind input whose processing may itself wait for it
        with self.locks[guid + (stream if data is not None else kind)]:
            with self.changed:
                want = self.acks[ack] + 1
            try:
                with self.write_lock:
                    assert self.process.stdin is not None
                    self.process.stdin.write(line.encode())
                    self.process.stdin.flush()
            except (OSError, ValueError):
                raise aborted() from None
            with self.changed:
                if not self.changed.wait_for(lambda: self.dead or self.acks[ack] >= want, timeout):
                    raise timed_out()
                if self.acks[ack] < want:
                    raise aborted()

    def kill(self) -> None:
        """Ends the engine and everything that its scripts started, as WinRM's job object does on Windows."""
        self.killed = self.killed or self.process.poll() is None  # one that has ended by itself still says why
        kill_marked(self.mark)

    def opened(self) -> None:
        """Its first session is open, and no command has run yet: whatever starts from now on belongs to a session."""
        self.own = self.own or frozenset(carriers(self.mark))

    def end_session(self, commands: Iterable[str]) -> bool:
        """Ends the session and what its scripts started, and keeps the engine. Whether it can have another session."""
        try:
            for guid in commands:
                self.call("Close", guid, timeout=5)
            self.call("Close", ZERO, timeout=5)
        except WSManFault:
            return False
        kill_marked(self.mark, self.own)
        self.on_data, self.on_death = lambda guid, data: None, lambda: None
        return not self.dead

    def close(self, commands: Iterable[str]) -> None:
        """Ends the session in order: a session's Close waits for ever for commands that were not closed."""
        try:
            for guid in commands:
                self.call("Close", guid, timeout=5)
            self.call("Close", ZERO, timeout=5)
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(5)
        except (WSManFault, OSError, subprocess.TimeoutExpired):
            pass
        self.kill()
