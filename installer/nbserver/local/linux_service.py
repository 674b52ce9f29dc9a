"""The notebook server on Linux: a systemd unit or, for users without systemd, a background process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import HostError
from nbserver.base.existing import exists
from nbserver.base.message import message
from nbserver.base.plain_text import clean
from nbserver.local import previous_environment
from nbserver.local.places import UNIT, LinuxPlaces, linux_places

if TYPE_CHECKING:
    from nbserver.inventory.local_linux_host import LocalLinuxHost

STOP_SECONDS = 30.0


class LinuxService:
    """See LocalService."""

    def __init__(self, host: LocalLinuxHost) -> None:
        self._host, self._where = host, linux_places(host)
        self.certificate = self._where.certificate

    @property
    def by(self) -> str:
        return "systemd" if exists(self._where.unit, denied=True) else "background" if exists(self._where.process, denied=True) else "none"

    def since(self) -> float:
        return _unit_since(self._where) if self.by == "systemd" else _process_since(self._where)

    def limits(self) -> dict[str, dict[str, str]] | None:
        if self._host.scope == "user":
            return None
        names = {"memory_max": "MemoryMax", "tasks_max": "TasksMax", "cpu_quota": "CPUQuotaPerSecUSec"}
        try:
            shown = _systemctl(self._where, "show", f"--property={','.join(names.values())}", UNIT).stdout
        except OSError:
            return None
        found = dict(line.partition("=")[::2] for line in shown.splitlines())
        return {key: {"asked": str(getattr(self._host.service, key)), "now": found.get(name, "")} for key, name in names.items()}

    def previous(self) -> dict[str, str] | None:
        return previous_environment.on_linux(self._where)

    def stop(self) -> bool:
        if exists(self._where.unit, denied=True):
            done = _systemctl(self._where, "stop", UNIT)
            if done.returncode not in (0, 5):  # 5: the unit is not loaded
                raise HostError(
                    "systemd-stop-failed",
                    "systemd could not stop the notebook server: {reason}",
                    host=self._host.name,
                    todo="Run nbserver stop as the user that the server runs as. If that does not help, check: {command} status {unit}",
                    command=" ".join(self._where.systemctl),
                    unit=UNIT,
                    reason=clean(done.stderr) or message("no-error-output", "no error output"),
                )
            return True
        pid = _running(self._where.process)
        if pid:
            _end(pid, self._where.process, self._host.name)
        return bool(pid)


def _end(pid: int, file: Path, name: str) -> None:
    """Terminate the process, and kill it after a time limit. Each time, check that it is still the same process."""
    until = time.monotonic() + STOP_SECONDS
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    while _running(file):
        if time.monotonic() > until:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            until += STOP_SECONDS
        if time.monotonic() > until + STOP_SECONDS:
            raise HostError(
                "process-not-stopped-linux",
                "the notebook server (process {pid}) is still running after SIGKILL",
                host=name,
                todo="Check its state with: ps -o pid,stat,wchan,args -p {pid}. If the state is D, it is waiting for I/O: fix the storage, or restart the host",
                pid=pid,
            )
        time.sleep(0.1)


def _systemctl(where: LinuxPlaces, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "XDG_RUNTIME_DIR": f"/run/user/{os.geteuid()}"}
    return subprocess.run(
        [*where.systemctl, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _unit_since(where: LinuxPlaces) -> float:
    """Return when the unit became active, in seconds since the epoch, or 0 if it is not active."""
    try:
        shown = _systemctl(where, "show", "--property=ActiveState,ActiveEnterTimestampMonotonic", UNIT).stdout
    except OSError:
        return 0
    found = dict(line.partition("=")[::2] for line in shown.splitlines())
    if found.get("ActiveState") != "active":
        return 0
    return time.time() - time.monotonic() + int(found.get("ActiveEnterTimestampMonotonic") or 0) / 1e6


def _process_since(where: LinuxPlaces) -> float:
    """Return when the background process started, in seconds since the epoch, or 0 if it is not running."""
    pid = _running(where.process)
    start = _start(pid) if pid else ""
    if not start:  # it may have exited meanwhile
        return 0
    ticks = int(start.split()[0])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def _running(file: Path) -> int:
    """Return the ID of the process in the file if that process is still running, else 0."""
    try:
        first = file.read_text("utf-8", "replace").split("\n", 1)[0]
    except OSError:
        return 0
    pid, _, start = first.partition(" ")
    return int(pid) if re.fullmatch("[1-9][0-9]*", pid) and start and start == _start(int(pid)) else 0


def _start(pid: int) -> str:
    """Return `TICKS BOOT` as linux_scripts/prelude/processes.sh writes it, or an empty string if the process has exited."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(") ")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{fields[19]} {boot}"
