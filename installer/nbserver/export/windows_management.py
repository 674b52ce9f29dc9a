"""Files for tools that run a PowerShell script as SYSTEM: Intune, and Group Policy. The launcher carries the script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbserver.base.message import Message, notice, phrase
from nbserver.export import launcher
from nbserver.export.exported import Exported, Limit

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.render.script import Script

INTUNE_LIMIT = Limit(phrase("Intune script"), 200 * 1024)


def intune_warning(host: AnyHost) -> Message | None:
    """Return a warning if a host is known to run Windows Server, which cannot be enrolled in Intune, or None."""
    windows: str | None = getattr(host, "windows", None)
    if windows is None or windows in ("10", "11"):
        return None
    return notice(
        "intune-windows-server",
        '{name}: Intune runs remediations only on Windows 10 and 11, but the host has windows = "{windows}". Use nbserver export gpo or '
        "nbserver apply for this host",
        name=host.name,
        windows=windows,
    )


def intune(host: WindowsHost, script: Script, *, hash_file: str) -> list[Exported]:
    """Return a detection and a remediation script. Raises UsageError if one is too large, or if the path is not ASCII."""
    texts = {
        "detect": launcher.windows(script, mode="test"),
        "remediate": launcher.windows(script, mode="apply", hash_file=hash_file),
    }
    found = [Exported(f"{host.name}.{name}.ps1", text, host.name, script.sha256, INTUNE_LIMIT) for name, text in texts.items()]
    for file in found:
        file.require_fit()
    return found


def gpo(host: WindowsHost, script: Script, *, hash_file: str, log: str) -> list[Exported]:
    """Return a startup script, which writes its events to the file `log`. Raises UsageError if a path is not ASCII."""
    text = launcher.windows(script, mode="apply", hash_file=hash_file, log=log)
    return [Exported(f"{host.name}.startup.ps1", text, host.name, script.sha256)]
