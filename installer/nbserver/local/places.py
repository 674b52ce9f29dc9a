"""Where the script of this machine puts things: the same places as in the preludes (run.sh and scope.sh, scope.ps1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base import user_folders
from nbserver.inventory.by_kind import LocalByKind

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyLocal
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost

UNIT = "nbserver.service"


@dataclass(frozen=True)
class LinuxPlaces:
    """Folders and files of one scope of Linux. `systemctl` is the command that asks for the unit."""

    configuration: Path
    data: Path
    unit: Path
    systemctl: tuple[str, ...]

    @property
    def notebook(self) -> Path:
        return self.configuration / "jupyter_config.json"

    @property
    def certificate(self) -> Path:
        return self.configuration / "certificate.pem"

    @property
    def process(self) -> Path:
        """`PID START BOOT`, where the server runs in the background."""
        return self.data / "process"


@dataclass(frozen=True)
class WindowsPlaces:
    """Folders and files of one scope of Windows."""

    state: Path

    @property
    def notebook(self) -> Path:
        return self.state / "service" / "jupyter_server_config.json"

    @property
    def certificate(self) -> Path:
        return self.state / "service" / "certificate.pem"

    @property
    def process(self) -> Path:
        """`PID CREATED`, the process in the background and the FILETIME of its creation; behind it what it was started with."""
        return self.state / "process"


def is_there(path: Path) -> bool:
    """Whether it is there, as far as this user may see."""
    try:
        return path.exists()
    except PermissionError:
        return True


def url(host: AnyLocal) -> str:
    """Where a browser finds the server."""
    return str(host.notebook.public_url or f"https://{host.address}:{host.notebook.port}")


def windows_places(host: LocalWindowsHost) -> WindowsPlaces:
    """The places of the host's scope. Raises UsageError without a home folder."""
    if host.scope == "machine":
        return WindowsPlaces(user_folders.folder("ProgramData") / "nbserver")
    return WindowsPlaces(user_folders.folder("LOCALAPPDATA") / "nbserver" / "state")


def linux_places(host: LocalLinuxHost) -> LinuxPlaces:
    """The places of the host's scope. Raises UsageError without a home folder."""
    if host.scope == "machine":
        return LinuxPlaces(Path("/etc/nbserver"), Path("/var/lib/nbserver"), Path("/etc/systemd/system") / UNIT, ("systemctl",))
    home = user_folders.home()
    return LinuxPlaces(
        home / ".config" / "nbserver",
        home / ".local" / "state" / "nbserver",
        home / ".config" / "systemd" / "user" / UNIT,
        ("systemctl", "--user"),
    )


_notebook = LocalByKind(windows=lambda host: windows_places(host).notebook, linux=lambda host: linux_places(host).notebook)


def is_set_up(host: AnyLocal) -> bool:
    """Whether a notebook server is set up in the host's scope, as far as this user may see. Raises UsageError without a home folder."""
    return is_there(_notebook(host))
