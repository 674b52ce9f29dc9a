"""What a host gets only from nbserver, next to its script: another tool passes nothing but the hash of the password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbserver.base.message import Message, notice
from nbserver.inventory.by_kind import ByKind

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost


def warning(host: AnyHost) -> Message | None:
    """Return a warning that names the settings of a host for which its exported script lacks something, or None."""
    settings = [
        *(['downloads.source = "push"'] if host.downloads.source == "push" else []),
        *(["packages.index_password"] if host.packages.index_password and host.downloads.source == "direct" else []),
        *(["downloads.proxy_password"] if host.downloads.proxy_password else []),
        *(["certificate"] if _has_certificate_of_workstation(host) else []),
    ]
    if not settings:
        return None
    return notice(
        "export-lacks-what-is-sent",
        "{name}: the exported script does not contain the data that nbserver apply sends for these settings: "
        "{settings}. Use nbserver apply for this host, or change the settings",
        name=host.name,
        settings=", ".join(settings),
    )


def _windows(host: WindowsHost | LocalWindowsHost) -> bool:
    return host.certificate.source == "workstation"


def _linux(host: LinuxHost | LocalLinuxHost) -> bool:
    return False


_has_certificate_of_workstation = ByKind(windows=_windows, linux=_linux, local_windows=_windows, local_linux=_linux)
