"""The paths that the script uses on this machine: the same as in the preludes (run.sh and scope.sh, scope.ps1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base import user_folders
from nbserver.base.existing import exists
from nbserver.inventory.by_kind import LocalByKind

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyLocal
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost

UNIT = "nbserver.service"


@dataclass(frozen=True)
class LinuxPlaces:
    """The folders and files of one scope on Linux. `systemctl` is the command that manages the unit."""

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
        """The file with `PID START BOOT` of a server that runs in the background."""
        return self.data / "process"

    @property
    def switch(self) -> Path:
        """The folder of an upgrade that is not complete."""
        return self.data / "state" / "switch"

    @property
    def previous(self) -> Path:
        """The file with the path of the Python of the previous environment."""
        return self.data / "state" / "previous" / "python"


@dataclass(frozen=True)
class WindowsPlaces:
    """The folders and files of one scope on Windows."""

    state: Path
    programs: Path

    @property
    def switch(self) -> Path:
        """The folder of an upgrade that is not complete."""
        return self.state / "switch"

    @property
    def previous(self) -> Path:
        """The file with the path of the Python of the previous environment."""
        return self.state / "previous" / "python"

    @property
    def notebook(self) -> Path:
        return self.state / "service" / "jupyter_server_config.json"

    @property
    def certificate(self) -> Path:
        return self.state / "service" / "certificate.pem"

    @property
    def process(self) -> Path:
        """The file with `PID CREATED`, the background process and the FILETIME of its creation, followed by its start parameters."""
        return self.state / "process"


def url(host: AnyLocal, port: int | None = None) -> str:
    """Return the address of the server for a browser. `port` is that of the settings, unless the server has another."""
    if port not in (None, host.notebook.port):
        return f"https://{host.address}:{port}"
    return str(host.notebook.public_url or f"https://{host.address}:{host.notebook.port}")


def windows_places(host: LocalWindowsHost) -> WindowsPlaces:
    """Return the paths of the scope of the host. Raises UsageError without a home folder."""
    if host.scope == "machine":
        return WindowsPlaces(user_folders.folder("ProgramData") / "nbserver", user_folders.folder("ProgramFiles") / "nbserver")
    own = user_folders.folder("LOCALAPPDATA") / "nbserver"
    return WindowsPlaces(own / "state", own / "programs")


def linux_places(host: LocalLinuxHost) -> LinuxPlaces:
    """Return the paths of the scope of the host. Raises UsageError without a home folder."""
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
    """Return whether a notebook server is set up in the scope of the host. Raises UsageError without a home folder."""
    return exists(_notebook(host), denied=True)
