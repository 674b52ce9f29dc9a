"""A site of one host: an inventory in a folder, and the real command line run on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.lab import PROXY
from tests.boxes.mirror import Mirror
from tests.boxes.winrm.endpoint import Endpoint
from tests.checkout import PYTHON_PATH


class Site:
    """One Windows host. `folder` holds the inventory, its site catalog and the runs. Secrets are given by environment variables."""

    name = "win1"
    python_path: tuple[Path, ...] = ()  # what else nbserver's own PYTHONPATH has

    def __init__(
        self, folder: Path, endpoint: Endpoint, mirror: Mirror, *, port: int, windows_password: str, notebook_password: str
    ) -> None:
        self.folder, self.endpoint, self.mirror, self.port = folder, endpoint, mirror, port
        self.secrets = {"WINDOWS_PASSWORD": windows_password, "NOTEBOOK_PASSWORD": notebook_password}
        self.settings: dict[str, Any] = {
            "system": "windows",
            "address": "127.0.0.1",
            "port": endpoint.port,
            "user": endpoint.user,
            "password.env": "WINDOWS_PASSWORD",
            "catalog": "site-catalog.toml",
            "packages.index_url": mirror.index_url,
            "notebook.port": port,
            "notebook.password.env": "NOTEBOOK_PASSWORD",
        }
        if endpoint.certificate:
            self.settings["fingerprint"] = endpoint.certificate.fingerprint
        else:
            self.settings["tls"] = False
        mirror.write_catalog(folder / "site-catalog.toml")
        self.write()

    def write(self, **changes: Any) -> None:
        """Writes the inventory; `changes` hold for this writing only, None leaves a key out, `__` stands for a dot."""
        settings = {**self.settings, **{key.replace("__", "."): value for key, value in changes.items()}}
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if value is not None]
        (self.folder / "nbserver.toml").write_text("\n".join([f"[hosts.{self.name}]", *lines, ""]), encoding="utf-8")

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`nbserver ARGUMENTS...` in the site's folder, with a text on standard input."""
        given: dict[str, Any] = {} if text is None else {"input": text}
        environment = self._environment(environment)
        return subprocess.run(
            self._command(arguments), cwd=self.folder, env=environment, **given, capture_output=True, text=True, timeout=1800
        )

    def watch(self, *arguments: str, look: Callable[[], None]) -> subprocess.CompletedProcess[str]:
        """The same, calling `look` several times a second while it runs."""
        process = self.start(*arguments)
        while process.poll() is None:
            look()
            time.sleep(0.2)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def interrupt(self, *arguments: str, when: Callable[[list[dict[str, Any]]], bool]) -> subprocess.CompletedProcess[str]:
        """The same, with Ctrl-C as soon as the events of the newest run say so."""
        before = set(self.runs())
        process = self.start(*arguments)
        while process.poll() is None:
            new = [run for run in self.runs() if run not in before]
            if new and when(self.events(new[0])):
                process.send_signal(signal.SIGINT)
                break
            time.sleep(0.1)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def runs(self) -> list[Path]:
        """The folders of the runs so far, oldest first."""
        folder = self.folder / "nbserver-runs"
        found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []  # a lock is next to a run
        return sorted(found, key=lambda path: path.stat().st_ctime_ns)

    def events(self, run: Path) -> list[dict[str, Any]]:
        """The events of a run on the host, as its run directory has them."""
        file = run / self.name / "events.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def last_events(self) -> list[dict[str, Any]]:
        """The events of the newest run."""
        return self.events(self.runs()[-1])

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The same, without waiting for its end."""
        return subprocess.Popen(
            self._command(arguments),
            cwd=self.folder,
            env=self._environment(None),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "nbserver", *arguments]

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": os.pathsep.join([PYTHON_PATH, *map(str, self.python_path)]), **self.secrets, **(more or {})}


class LinuxSite(Site):
    """One Linux host, reached by SSH with a key and its pinned host key; wheels come from the mirror, through the lab's proxy."""

    name = "lin1"

    def __init__(self, folder: Path, host: LinuxBox, mirror: Mirror, *, user: str = "root", notebook_password: str) -> None:
        self.folder, self.host, self.mirror, self.port = folder, host, mirror, 9999
        self.secrets = {"NOTEBOOK_PASSWORD": notebook_password}
        self.settings = {
            "system": "linux",
            "address": "127.0.0.1",
            "port": host.ssh_port,
            "user": user,
            "key_file": str(host.key),
            "host_key": host.host_key,
            "packages.index_url": mirror.index_url,
            "downloads.proxy": PROXY,
            "notebook.port": self.port,
            "notebook.public_url": f"https://127.0.0.1:{host.forward(self.port).port}",
            "notebook.password.env": "NOTEBOOK_PASSWORD",
        }
        self.write()


def steps(events: list[dict[str, Any]], event: str) -> list[str]:
    """The steps that said `event`, in their order."""
    return [item["step"] for item in events if item["event"] == event]
