"""A shell of the kind that pywinrm opens: one process a command, `powershell ...` run by pwsh, the rest by Wine's cmd."""

from __future__ import annotations

import os
import re
import select
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.boxes.marked_process import interrupt_marked, kill_marked, marked
from tests.boxes.windows_command_line import split_arguments
from tests.boxes.wine import WINE
from tests.boxes.winrm.output import Output
from tests.boxes.winrm.shell import Shell

POWERSHELL = re.compile(
    r"\s*(?:%SystemRoot%\\System32\\WindowsPowerShell\\v1\.0\\powershell|powershell|pwsh)(?:\.exe)?\s+(.*)$", re.I | re.S
)
CMD_LINE_LIMIT = 8191 - len(r"C:\Windows\system32\cmd.exe /C ")
# Wine ends a new program at once now and then, with code 1 and without a word. Windows does not, so the program is started again,
# if it ended before PowerShell can have begun to read (seconds). What it was sent is kept for longer than that.
NEVER_BEGAN, KEPT = 0.5, 5.0
REBOOT = 3010  # a script says that Windows waits for a reboot; Wine's host keeps eight bits of an exit code


@dataclass
class Started:
    """A process of a command, and the first of its input."""

    process: subprocess.Popen[bytes]
    mark: bytes
    began: float = field(default_factory=time.monotonic)
    sent: list[tuple[bytes, bool]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, data: bytes, end: bool) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
            if end:
                self.process.stdin.close()
        except (OSError, ValueError):
            pass


class CmdShell(Shell):
    """`environment` is the process environment of the host with the client's variables laid over it."""

    kind = "cmd"
    input_streams = "stdin"
    output_streams = "stdout stderr"

    def __init__(self, shell_id: str, uri: str, pwsh: Sequence[str], environment: Mapping[str, str], directory: Path | None) -> None:
        super().__init__(shell_id, uri)
        self.pwsh, self.environment, self.directory = list(pwsh), dict(environment), directory
        self.started: dict[str, Started] = {}

    def command(self, command_id: str | None, executable: str, arguments: Sequence[str], options: Mapping[str, str]) -> str:
        guid = (command_id or str(uuid.uuid4())).upper()
        line = " ".join([executable, *arguments])
        output = self.commands[guid] = Output()
        without_cmd = options.get("WINRS_SKIP_CMD_SHELL", "").lower() == "true"
        if not without_cmd and len(line) > CMD_LINE_LIMIT:  # what cmd.exe /c does on Windows
            output.put("stderr", b"The command line is too long.\r\n")
            output.finish(1)
            return guid
        powershell = POWERSHELL.match(line)
        if powershell:
            argv = [*self.pwsh, *split_arguments(powershell[1])]
        elif without_cmd:
            argv = [WINE, executable, *(word for text in arguments for word in split_arguments(text))]
        else:
            argv = [WINE, "cmd", "/c", line]
        started = self.started[guid] = Started(*self._process(argv))
        threading.Thread(target=self._serve, args=(started, argv if powershell else None, output), daemon=True).start()
        return guid

    def _process(self, argv: Sequence[str]) -> tuple[subprocess.Popen[bytes], bytes]:
        environment, mark = marked(self.environment)
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd=self.directory, start_new_session=True)
        return process, mark

    def _serve(self, started: Started, again: Sequence[str] | None, output: Output) -> None:
        """Hands out what the process says, and how it ended. `again` starts it once more if Wine has not let it begin."""
        said = self._pump(started.process, output)
        code = started.process.wait() & 0xFFFFFFFF
        if again is not None and code == 1 and not said and time.monotonic() - started.began < NEVER_BEGAN:
            with started.lock:
                started.process, started.mark = self._process(again)
                for data, end in started.sent:
                    started.write(data, end)
            self._pump(started.process, output)
            code = started.process.wait() & 0xFFFFFFFF
        output.finish(REBOOT if code == REBOOT & 0xFF else code)

    @staticmethod
    def _pump(process: subprocess.Popen[bytes], output: Output) -> bool:
        """Whether it has said something."""
        said = threading.Event()

        def copy(name: str, descriptor: int) -> None:
            ended = False
            while True:
                # Wine's services may have inherited the pipe: it ends with the process, whoever else holds it.
                readable = select.select([descriptor], [], [], 0 if ended else 0.1)[0]
                if readable:
                    data = os.read(descriptor, 65536)
                    if not data:
                        return
                    said.set()
                    output.put(name, data)
                elif ended:
                    return
                else:
                    ended = process.poll() is not None

        assert process.stdout is not None and process.stderr is not None
        streams = (("stdout", process.stdout.fileno()), ("stderr", process.stderr.fileno()))
        threads = [threading.Thread(target=copy, args=stream, daemon=True) for stream in streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return said.is_set()

    def send(self, command_id: str | None, stream: str, data: bytes, end: bool) -> None:
        self.find(command_id or "")
        started = self.started[(command_id or "").upper()]
        with started.lock:
            if time.monotonic() - started.began < KEPT:
                started.sent.append((data, end))
            started.write(data, end)

    def signal(self, command_id: str, code: str) -> None:
        self.find(command_id)
        started = self.started.get(command_id.upper())
        running = started is not None and started.process.poll() is None
        if code.lower().endswith("terminate"):
            if started is not None and running:
                kill_marked(started.mark)
            self.commands.pop(command_id.upper(), None)
        elif started is not None and running:
            interrupt_marked(started.mark)

    def delete(self) -> None:
        self.kill()
        for output in self.commands.values():
            output.abort()

    def kill(self) -> None:
        for started in self.started.values():
            if started.process.poll() is None:
                kill_marked(started.mark)
