"""The notebook server on Windows, as a background process of the user."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import HostError, UsageError
from nbserver.base.existing import exists
from nbserver.local import previous_environment, windows_process
from nbserver.local.places import windows_places
from nbserver.local.windows_process import Process

if TYPE_CHECKING:
    from nbserver.inventory.local_windows_host import LocalWindowsHost

STOP_SECONDS = 30.0


class WindowsService:
    """See LocalService. Raises UsageError in machine scope: there the server is a scheduled task with its own commands."""

    def __init__(self, host: LocalWindowsHost) -> None:
        if host.scope == "machine":
            raise UsageError(
                "server-is-scheduled-task",
                'with scope = "machine", the server is the scheduled task "nbserver", which this command cannot control',
                where=host.name,
                todo="In an elevated PowerShell, show it with Get-ScheduledTask nbserver; stop it with Disable-ScheduledTask nbserver and Stop-ScheduledTask nbserver",
            )
        self._host, self._where = host, windows_places(host)
        self._file, self.certificate = self._where.process, self._where.certificate

    @property
    def by(self) -> str:
        return "background" if exists(self._file) else "none"

    def since(self) -> float:
        found = running(self._file)
        return found.since if found else 0

    def limits(self) -> None:
        """A background process has no limits."""
        return

    def previous(self) -> dict[str, str] | None:
        return previous_environment.on_windows(self._where)

    def stop(self) -> bool:
        found = running(self._file)
        if not found:
            return False
        if not windows_process.end(found, STOP_SECONDS):
            raise HostError(
                "process-not-stopped-windows",
                "could not stop the notebook server (process {pid})",
                host=self._host.name,
                todo="Stop it in an elevated PowerShell with: Stop-Process -Id {pid} -Force",
                pid=found.pid,
            )
        return True


def running(file: Path) -> Process | None:
    """Return the process in the first line of the file, `PID CREATED`, if it is still running."""
    found = named(file)
    return found if found and windows_process.created(found.pid) == found.created else None


def named(file: Path) -> Process | None:
    """Return the process in the file, whether it is running or not."""
    try:
        first = file.read_bytes().split(b"\n", 1)[0]
    except OSError:
        return None
    match = re.fullmatch(rb"([1-9][0-9]{0,9}) ([1-9][0-9]{0,18})\r?", first)
    return Process(int(match[1]), int(match[2])) if match else None
