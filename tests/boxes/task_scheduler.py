"""The Windows task scheduler of a host in a box.

A process that a WinRM session starts ends with the session, so the stand-ins for the ScheduledTasks cmdlets only write
down what they are asked (stand_ins/scheduled_tasks.ps1), and this thread of the test starts and ends the programs, under
Wine, outside any session. Triggers other than the one at startup do not fire; nothing is restarted; accounts are not
switched.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.boxes.marked_process import kill_marked, marked
from tests.boxes.windows_command_line import split_arguments
from tests.boxes.wine import WINE, environment, linux_path

TASKS = r"C:\windows\system32\Tasks"
REQUESTS = r"C:\nbserver-test\tasks"
SERVICES = r"C:\nbserver-test\services"
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
POWERSHELL = re.compile(r"(?:.*[\\/])?(?:powershell|pwsh)(?:\.exe)?$", re.I)
VARIABLES = {
    "systemroot": r"C:\windows",
    "windir": r"C:\windows",
    "systemdrive": "C:",
    "programfiles": r"C:\Program Files",
    "programdata": r"C:\ProgramData",
}


@dataclass(frozen=True)
class Action:
    """One program that a task runs; paths are Windows paths."""

    command: str
    arguments: str
    directory: str


@dataclass(frozen=True)
class Task:
    """What the scheduler needs of a task's XML."""

    actions: tuple[Action, ...]
    enabled: bool
    at_startup: bool


def read_task(path: Path) -> Task:
    """Reads a task's file. Raises ET.ParseError."""
    root = ET.fromstring(path.read_bytes())

    def on(element: ET.Element | None) -> bool:
        return element is None or (element.findtext(f"{TASK}Enabled") or "true").strip() == "true"

    def expand(text: str) -> str:
        return re.sub(r"%(\w+)%", lambda match: VARIABLES.get(match[1].lower(), match[0]), text.strip())

    actions = tuple(
        Action(
            expand(node.findtext(f"{TASK}Command") or "").strip('"'),
            expand(node.findtext(f"{TASK}Arguments") or ""),
            expand(node.findtext(f"{TASK}WorkingDirectory") or "").strip('"'),
        )
        for node in root.findall(f"{TASK}Actions/{TASK}Exec")
    )
    startup = [trigger for trigger in root.findall(f"{TASK}Triggers/{TASK}BootTrigger") if on(trigger)]
    return Task(actions, on(root.find(f"{TASK}Settings")), bool(startup))


class Run:
    """One run of a task: its actions, one after the other, in a thread of its own."""

    def __init__(self, task: Task, prefix: Path, powershell: Sequence[str], output: Path) -> None:
        self.task, self.prefix, self.powershell, self.output = task, prefix, list(powershell), output
        self.environment, self.mark = marked(environment(prefix))
        self.ended = threading.Event()
        self.stopping = False
        self.exit_codes: list[int] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        for action in self.task.actions:
            if self.stopping:
                break
            try:
                self.exit_codes.append(self._act(action))
            except OSError as error:
                with self.output.open("ab") as log:
                    log.write(f"cannot start {action.command}: {error}\n".encode())
                self.exit_codes.append(-1)
        self.ended.set()

    def _act(self, action: Action) -> int:
        arguments = split_arguments(action.arguments)
        program = self.powershell if POWERSHELL.match(action.command) else [WINE, action.command]
        process = subprocess.Popen(
            [*program, *arguments],
            stdin=subprocess.PIPE,  # with pipes for standard streams console programs need no console
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            cwd=linux_path(self.prefix, action.directory or r"C:\windows\system32"),
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        # what the program started may hold the pipe after it has ended: the program's end counts
        threading.Thread(target=self._copy, args=(process.stdout, self.output), daemon=True).start()
        return process.wait()

    @staticmethod
    def _copy(source: IO[bytes], output: Path) -> None:
        with contextlib.suppress(OSError), source, output.open("ab", buffering=0) as log:  # its folder may be gone
            while data := os.read(source.fileno(), 65536):
                log.write(data)

    def stop(self) -> None:
        """Ends its programs, also one that is only just being started."""
        self.stopping = True
        until = time.monotonic() + 60
        while not self.ended.is_set() and time.monotonic() < until:
            kill_marked(self.mark)
            self.ended.wait(0.2)


class TaskScheduler:
    """Runs the tasks of the Windows at `prefix` until `close`; `powershell` is the command that stands for powershell.exe.

    What a task's programs print is in `output(name)`.
    """

    def __init__(self, prefix: Path, powershell: Sequence[str]) -> None:
        self.prefix, self.powershell = prefix, powershell
        self.tasks, self.requests, self.services = (linux_path(prefix, folder) for folder in (TASKS, REQUESTS, SERVICES))
        self.tasks.mkdir(parents=True, exist_ok=True)
        self.requests.mkdir(parents=True, exist_ok=True)
        self.logs = Path(tempfile.mkdtemp(prefix="task-output-"))
        self.runs: dict[str, Run] = {}
        self.queued: dict[str, float] = {}  # name -> when a session asked for its start
        self.delay = 0.5  # seconds that it is queued then
        self.written: dict[str, str] = {}  # name -> its state as its file has it
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.closing.wait(0.05):
            with self.lock:
                for name in [name for name, asked in self.queued.items() if time.monotonic() - asked >= self.delay]:
                    del self.queued[name]
                    if self._file(name).exists():  # it may have been unregistered meanwhile
                        self.start(name)
                self._write_states()
                for request in self._asked():
                    try:
                        verb, _, name = request.read_text("utf-8").partition(" ")
                    except FileNotFoundError:
                        continue  # whoever asked waits no longer
                    try:
                        self._take(verb, name)
                    finally:
                        self._write_states()
                        request.unlink(missing_ok=True)  # the answer: it is taken

    def _asked(self) -> list[Path]:
        """The requests that wait. The folder is read 20 times a second, and a glob takes three times as long."""
        with os.scandir(self.requests) as entries:
            return [Path(entry.path) for entry in entries if entry.name.endswith(".request")]

    def _take(self, verb: str, name: str) -> None:
        """Stops it, or starts it: a service at once, a task after it was queued for a moment."""
        if verb == "stop":
            self.stop(name)
        elif name.startswith("service."):
            self.start(name)
        elif not self.is_running(name):
            self.queued[name] = time.monotonic()

    def _write_states(self) -> None:
        for name in {*self.runs, *self.queued}:
            state = "Queued" if name in self.queued else "Running" if self.is_running(name) else "Ready"
            file = self.requests / f"{name}.state"
            if self.written.get(name) != state or not file.exists():
                new = file.with_suffix(".writing")
                new.write_text(state)
                new.replace(file)
                self.written[name] = state

    def is_running(self, name: str) -> bool:
        """Whether it runs, or is about to."""
        with self.lock:
            return name in self.queued or (name in self.runs and not self.runs[name].ended.is_set())

    def running(self) -> list[str]:
        """The names of all tasks and services that run, in order."""
        with self.lock:
            return sorted(name for name in {*self.runs, *self.queued} if self.is_running(name))

    def start(self, name: str) -> None:
        """Starts the task's programs; a task that runs already is left alone (MultipleInstances IgnoreNew)."""
        with self.lock:
            if self.is_running(name):
                return
            task = read_task(self._file(name))
            self.runs[name] = Run(task, self.prefix, self.powershell, self.logs / f"{name}.log")
            self._write_states()

    def _file(self, name: str) -> Path:
        """What a task is made of, or a Windows service (`service.NAME`, see stand_ins/services.ps1)."""
        kind, _, service = name.partition("service.")
        return self.services / f"{service}.xml" if service and not kind else self.tasks / name

    def stop(self, name: str) -> None:
        """Ends the task's programs and what they started."""
        with self.lock:
            self.queued.pop(name, None)
            if name in self.runs:
                self.runs[name].stop()
            self._write_states()

    def exit_codes(self, name: str) -> list[int]:
        """Of the task's last run, one an action that has ended."""
        return list(self.runs[name].exit_codes) if name in self.runs else []

    def output(self, name: str) -> str:
        """What the task's programs have printed, over all its runs."""
        log = self.logs / f"{name}.log"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def shut_down(self) -> None:
        """What running tasks see of a reboot: they are ended."""
        with self.lock:
            for name in {*self.runs, *self.queued}:
                self.stop(name)

    def boot(self) -> None:
        """What a reboot starts: every enabled task that has a trigger at startup."""
        with self.lock:
            for file in sorted(self.tasks.iterdir()):
                if file.is_file():
                    task = read_task(file)
                    if task.enabled and task.at_startup:
                        self.start(file.name)

    def wait(self, name: str, seconds: float = 300) -> bool:
        """Waits for the end of the task's run; False when it goes on after `seconds`."""
        until = time.monotonic() + seconds
        while self.is_running(name):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def close(self) -> None:
        """Ends the thread and everything that tasks have started, also by tasks that were removed meanwhile.

        What they printed is gone then.
        """
        self.closing.set()
        self.thread.join()
        with self.lock:
            for run in self.runs.values():
                run.stop()
        shutil.rmtree(self.logs, ignore_errors=True)

    def __enter__(self) -> TaskScheduler:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
