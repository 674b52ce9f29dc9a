r"""A Windows Server in a box: a Wine prefix of its own, set up as a server, with its task scheduler and a virus scanner running.

with WindowsBox.create(folder) as host:
    with host.endpoint(auth=["basic"]) as endpoint:
        ...
    before = host.snapshot()
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.boxes import registry_file
from tests.boxes.server_settings import ACTIVE_SETUP, ENVIRONMENT
from tests.boxes.task_scheduler import TASKS, TaskScheduler
from tests.boxes.virus_scanner import VirusScanner
from tests.boxes.windows_image import put_windows
from tests.boxes.wine import end_wine, linux_path, pwsh_command, run, start_wine, windows_path
from tests.boxes.winrm.endpoint import Endpoint, session_configuration

STAND_INS = Path(__file__).parent / "stand_ins"
# Below drive_c: what Windows itself is always writing, and the stand-ins' own state (compared by its meaning).
VOLATILE = ("windows/temp/*", "users/*/AppData/*", "users/*/Temp/*", "nbserver-test/*", "windows/system32/Tasks/*")
SIZE_ONLY = "windows/"  # Wine's own 700 MB: a listing of names and sizes is enough


class WindowsBox:
    """The Windows at `prefix` (a WINEPREFIX that exists); `create` makes one."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        start_wine(prefix)
        self.folder = Path(tempfile.mkdtemp(prefix="windows-host-"))
        configuration = self.folder / "task.pssc"
        configuration.write_text(session_configuration(STAND_INS / "start.ps1"), encoding="utf-8")
        powershell = [pwsh_command(), "-ConfigurationFile", windows_path(configuration)]
        self.scheduler = TaskScheduler(prefix, powershell)
        self.scanner = VirusScanner(prefix)
        self._hashes: dict[tuple[int, int, int], str] = {}

    @classmethod
    def create(cls, prefix: Path) -> WindowsBox:
        """A fresh Windows at `prefix`, set up as a server. Raises LookupError, CalledProcessError."""
        put_windows(prefix)
        return cls(prefix)

    def path(self, windows_path: str) -> Path:
        r"""`C:\...` as a path on this machine."""
        return linux_path(self.prefix, windows_path)

    def endpoint(self, **options: Any) -> Endpoint:
        """A WinRM service on this host (see Endpoint for the options); the stand-ins are in its sessions."""
        return Endpoint(self.prefix, **{"startup": STAND_INS / "start.ps1", **options})

    def registry(self, key: str) -> dict[str, dict[str, str]]:
        """A key and all below it: key -> value name -> raw value with its type. An export that fails is tried again: it only reads."""
        file = self.folder / f"{uuid.uuid4().hex}.reg"
        for attempt in range(3):
            try:
                run(self.prefix, "reg", "export", key, windows_path(file), "/y")
                break
            except subprocess.CalledProcessError:
                if attempt == 2:
                    raise
        return registry_file.read(file.read_bytes())

    def snapshot(self, except_: Iterable[str] = ()) -> dict[str, Any]:
        """What this project may change, value by value, to be compared with another snapshot.

        `except_` are glob patterns below drive_c, with `/` between names (`ProgramData/nbserver/runs/*`), of files that do not count.
        """
        return {
            "registry": {**self.registry(ACTIVE_SETUP), **self.registry(ENVIRONMENT)},
            "firewall": {name: json.loads(text) for name, text in self._texts(r"C:\nbserver-test\firewall", "*.json")},
            "services": {name: json.loads(text) for name, text in self._texts(r"C:\nbserver-test\services", "*.json")},
            "tasks": {file.name: file.read_bytes().decode("utf-16") for file in sorted(self.path(TASKS).iterdir())},
            "running": self.scheduler.running(),
            "acl": dict(self._descriptors()),
            "files": dict(self._files((*VOLATILE, *except_))),
        }

    def _texts(self, folder: str, pattern: str) -> Iterator[tuple[str, str]]:
        for file in sorted(self.path(folder).glob(pattern)):
            yield file.stem, file.read_text("utf-8")

    def _descriptors(self) -> Iterator[tuple[str, str]]:
        for _, text in self._texts(r"C:\nbserver-test\acl", "*.json"):
            entry = json.loads(text)
            if self.path(entry["path"]).exists():  # what was removed took its descriptor with it
                yield entry["path"], entry["sddl"]

    def _files(self, left_out: tuple[str, ...]) -> Iterator[tuple[str, tuple[int, str]]]:
        drive = self.path("C:\\")
        patterns = [pattern.lower() for pattern in left_out]

        def walk(folder: Path) -> Iterator[Path]:
            for entry in sorted(folder.iterdir()):
                name = entry.relative_to(drive).as_posix().lower()
                if any(fnmatch(name, pattern) for pattern in patterns):
                    continue
                yield entry
                if entry.is_dir() and not entry.is_symlink():
                    yield from walk(entry)

        for path in walk(drive):
            name = path.relative_to(drive).as_posix()
            if path.is_symlink():
                yield name, (0, "link")
            elif path.is_dir():
                yield name, (0, "folder")
            else:
                size = path.stat().st_size
                yield name, (size, "" if name.startswith(SIZE_ONLY) else self._sha256(path))

    def _sha256(self, path: Path) -> str:
        status = path.stat()
        key = (status.st_ino, status.st_mtime_ns, status.st_size)
        if key not in self._hashes:
            self._hashes[key] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self._hashes[key]

    def close(self) -> None:
        """Ends the scheduler with its tasks, the virus scanner, and every Wine process of this Windows. The prefix stays."""
        self.scheduler.close()
        self.scanner.close()
        end_wine(self.prefix)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> WindowsBox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
