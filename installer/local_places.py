"""Where the script of this machine puts things: the same places as in linux_scripts/prelude (run.sh and scope.sh)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from installer.linux_settings import LocalHost

UNIT = "nbserver.service"


@dataclass(frozen=True)
class LocalPlaces:
    """Folders and files of one scope. `systemctl` is the command that asks for the unit."""

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


def url(host: LocalHost) -> str:
    """Where a browser finds the server."""
    return str(host.notebook.public_url or f"https://{host.address}:{host.notebook.port}")


def places(host: LocalHost) -> LocalPlaces:
    """The places of the host's scope."""
    if host.scope == "machine":
        return LocalPlaces(Path("/etc/nbserver"), Path("/var/lib/nbserver"), Path("/etc/systemd/system") / UNIT, ("systemctl",))
    home = Path.home()
    return LocalPlaces(
        home / ".config" / "nbserver", home / ".local" / "state" / "nbserver", home / ".config" / "systemd" / "user" / UNIT, ("systemctl", "--user")
    )
