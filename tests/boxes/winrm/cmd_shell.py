"""A shell of the kind that pywinrm opens: one process a command, `powershell ...` run by pwsh, the rest by Wine's cmd."""

from __future__ import annotations

import os
import re
import select
import subprocess
import threading
import uuid
from collections.abc import Mapping, Sequence
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
REBOOT = 3010  # a script says that Windows waits for a reboot; Wine's host keeps eight bits of an exit code


class CmdShell(Shell):
    """`environment` is the process environment of the host with the client's variables laid over it."""

    kind = "cmd"
    input_streams = "stdin"
    output_streams = "stdout stderr"

    def __init__(self, shell_id: str, uri: str, pwsh: Sequence[str], environment: Mapping[str, str], directory: Path | None) -> None:
        super().__init__(shell_id, uri)
        self.pwsh, self.environment, self.directory = list(pwsh), dict(environment), directory
        self.processes: dict[str, tuple[subprocess.Popen[bytes], bytes]] = {}

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
        environment, mark = marked(self.environment)
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=self.directory,
            start_new_session=True,
        )
        self.processes[guid] = (process, mark)
        threading.Thread(target=self._pump, args=(process, output), daemon=True).start()
        return guid

    @staticmethod
    def _pump(process: subprocess.Popen[bytes], output: Output) -> None:
        def copy(name: str, descriptor: int) -> None:
            ended = False
            while True:
                # Wine's services may have inherited the pipe: it ends with the process, whoever else holds it.
                readable = select.select([descriptor], [], [], 0 if ended else 0.1)[0]
                if readable:
                    data = os.read(descriptor, 65536)
                    if not data:
                        return
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
        code = process.wait() & 0xFFFFFFFF
        output.finish(REBOOT if code == REBOOT & 0xFF else code)

    def send(self, command_id: str | None, stream: str, data: bytes, end: bool) -> None:
        self.find(command_id or "")
        process, _ = self.processes[(command_id or "").upper()]
        assert process.stdin is not None
        try:
            process.stdin.write(data)
            process.stdin.flush()
            if end:
                process.stdin.close()
        except (OSError, ValueError):
            pass

    def signal(self, command_id: str, code: str) -> None:
        self.find(command_id)
        process, mark = self.processes.get(command_id.upper(), (None, b""))
        running = process is not None and process.poll() is None
        if code.lower().endswith("terminate"):
            if running:
                kill_marked(mark)
            self.commands.pop(command_id.upper(), None)
        elif running:
            interrupt_marked(mark)

    def delete(self) -> None:
        self.kill()
        for output in self.commands.values():
            output.abort()

    def kill(self) -> None:
        for process, mark in self.processes.values():
            if process.poll() is None:
                kill_marked(mark)
