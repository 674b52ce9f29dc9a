r"""What people set up on a host before nbserver came: a program on the notebook's port, what runs it, a rule, PATH entries.

The program is a real one under Wine: CPython in C:\Python27, which listens and does nothing else.
"""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

from tests.boxes import artifacts
from tests.boxes.server_settings import ENVIRONMENT, MACHINE_PATH, UNRELATED_RULE
from tests.boxes.task_scheduler import SERVICES, TASKS
from tests.boxes.windows import WindowsBox
from tests.boxes.windows_python import PYTHON_3_11
from tests.boxes.wine import run

PYTHON = r"C:\Python27\python.exe"
NSSM = r"C:\Python27\nssm.exe"
PROFILE = r"C:\users\root\.ipython\profile_nbserver"
SERVE = r"""
import os, socket, sys
port = int(sys.argv[1])
listener = socket.socket()
listener.bind(("127.0.0.1", port))
listener.listen()
os.makedirs(r"C:\nbserver-test\listeners", exist_ok=True)
with open(rf"C:\nbserver-test\listeners\{port}", "w") as file:
    file.write(str(os.getpid()))
while True:
    listener.accept()[0].close()
"""
WRAP = r"""
import subprocess, sys
subprocess.Popen([r"C:\Python27\python.exe", *sys.argv[1:]], stdin=subprocess.DEVNULL).wait()
"""
SERVE_FILE, WRAP_FILE = r"C:\hand made\serve.py", r"C:\hand made\wrap.py"
TASK = """<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <URI>\\TASK-NAME</URI>
  </RegistrationInfo>
  <Settings>
    <DisallowStartIfOnBatteries>true</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>true</StopIfGoingOnBatteries>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <IdleSettings>
      <StopOnIdleEnd>true</StopOnIdleEnd>
      <RestartOnIdle>false</RestartOnIdle>
    </IdleSettings>
  </Settings>
  <Triggers>
    <BootTrigger />
  </Triggers>
  <Actions>
    <Exec>
      <Command>COMMAND</Command>
      <Arguments>ARGUMENTS</Arguments>
    </Exec>
  </Actions>
</Task>"""  # as the service writes it: stand_ins/task_xml.ps1
PRINCIPAL = '  <Principals>\n    <Principal id="Author">\n      <UserId>S-1-5-21-1-2-3-1001</UserId>\n      <LogonType>LOGON</LogonType>\n    </Principal>\n  </Principals>\n'
PATH = r"C:\Python27;C:\Python27\Scripts;" + MACHINE_PATH + r";C:\OpenSSL-Win64\bin;C:\Python311;C:\tools"
LEFT = MACHINE_PATH + r";C:\Python311;C:\tools"  # without what the tutorial put there


class HandMade:
    """On `host`, around one port. `remove` takes everything away again."""

    def __init__(self, host: WindowsBox, port: int) -> None:
        self.host, self.port = host, port
        self.names: list[str] = []
        self.files: list[Path] = []
        self.keys: list[str] = []
        for name, text in ((SERVE_FILE, SERVE), (WRAP_FILE, WRAP)):
            self._write(name, text)
        with zipfile.ZipFile(PYTHON_3_11.small(artifacts.cache_folder())) as archive:
            archive.extractall(host.path("C:\\") / "Python27")
        shutil.copy(host.path(PYTHON), host.path(r"C:\Python27") / "nssm.exe")

    def _write(self, name: str, text: str, encoding: str = "utf-8") -> None:
        file = self.host.path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding=encoding, newline="\r\n" if encoding == "utf-16" else None)  # as the service writes it
        self.files.append(file)

    @property
    def arguments(self) -> str:
        return f'-I -B "{SERVE_FILE}" {self.port}'

    def task(self, name: str, logon: str = "") -> None:
        """A scheduled task that runs the program, started. `logon` is its kind of logon, such as Password."""
        text = TASK.replace("TASK-NAME", name).replace("COMMAND", PYTHON).replace("ARGUMENTS", self.arguments)
        if logon:
            text = text.replace("  <Settings>", PRINCIPAL.replace("LOGON", logon) + "  <Settings>")
        self._write(rf"{TASKS}\{name}", text, "utf-16")
        self._start(name)

    def dependent(self, name: str, needs: str) -> None:
        """A Windows service that needs another one, started; it does nothing but wait. Its program is its own: by that it is known."""
        program = rf"C:\Python27\{name}.exe"
        shutil.copy(self.host.path(PYTHON), self.host.path(r"C:\Python27") / f"{name}.exe")
        self._write(rf"{SERVICES}\{name}.json", json.dumps({"Name": name, "PathName": program, "StartMode": "Auto", "Needs": needs}))
        self._write(
            rf"{SERVICES}\{name}.xml",
            TASK.replace("COMMAND", program).replace("ARGUMENTS", '-I -c "import time; time.sleep(600)"'),
            "utf-16",
        )
        self.host.scheduler.start(f"service.{name}")
        self.names.append(f"service.{name}")

    def service(self, name: str, program: str = NSSM, application: str | None = PYTHON) -> None:
        """A Windows service, started: a wrapper such as NSSM that runs the program, or the program itself."""
        arguments = f'-I -B "{WRAP_FILE}" {self.arguments}' if program == NSSM else self.arguments
        self._write(rf"{SERVICES}\{name}.json", json.dumps({"Name": name, "PathName": program, "StartMode": "Auto"}))
        self._write(rf"{SERVICES}\{name}.xml", TASK.replace("COMMAND", program).replace("ARGUMENTS", arguments), "utf-16")
        if application:
            key = rf"HKLM\SYSTEM\CurrentControlSet\Services\{name}"
            self._registry("add", key + r"\Parameters", "/v", "Application", "/d", application)
            self.keys.append(key)
        self._start(f"service.{name}")

    def process(self) -> None:
        """The program alone, started by nobody that Windows knows."""
        self._write(rf"{SERVICES}\nobody.xml", TASK.replace("COMMAND", PYTHON).replace("ARGUMENTS", self.arguments), "utf-16")
        self._start("service.nobody")

    def _start(self, name: str) -> None:
        listener = self.host.path(rf"C:\nbserver-test\listeners\{self.port}")
        listener.unlink(missing_ok=True)
        self.host.scheduler.start(name)
        self.names.append(name)
        end = time.monotonic() + 300
        while not listener.exists() or not listener.read_text():
            assert time.monotonic() < end, "the program does not listen: " + self.host.scheduler.output(name)
            time.sleep(0.05)

    def rule(self, name: str, ports: list[str], **changes: Any) -> None:
        rule = {**UNRELATED_RULE, "Name": name, "DisplayName": "IPython Notebook", "LocalPort": ports, "RemoteAddress": ["Any"], **changes}
        self._write(rf"C:\nbserver-test\firewall\{name}.json", json.dumps(rule))

    def path(self, value: str) -> None:
        self._registry("add", ENVIRONMENT.replace("HKEY_LOCAL_MACHINE", "HKLM"), "/v", "PATH", "/t", "REG_EXPAND_SZ", "/d", value)

    def profile(self) -> None:
        self._write(PROFILE + r"\ipython_notebook_config.py", "c = get_config()\n")

    def _registry(self, verb: str, *arguments: str) -> None:
        run(self.host.prefix, "reg", verb, *arguments, "/f")

    def remove(self) -> None:
        for name in self.names:
            self.host.scheduler.stop(name)
        for key in self.keys:
            self._registry("delete", key)
        for file in self.files:
            file.unlink(missing_ok=True)
        self.path(MACHINE_PATH)
        for folder in (r"C:\Python27", r"C:\hand made", r"C:\users\root\.ipython"):
            shutil.rmtree(self.host.path(folder), ignore_errors=True)
