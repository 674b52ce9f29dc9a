"""A checked Windows host and the catalog, turned into the settings of its script."""

from __future__ import annotations

from typing import Any

from nbserver import __version__
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.entries import Download
from nbserver.certificate.names import subject_alternative_names
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.windows_host import WindowsHost
from nbserver.render.powershell import render_windows
from nbserver.render.script import Script

PROGRAMS = "%ProgramFiles%\\nbserver"


def render(host: WindowsHost | LocalWindowsHost, catalog: Catalog) -> Script:
    """The script of a Windows host; the same bytes wherever it is rendered. Raises CatalogError."""
    programs = catalog.programs_for(host)
    python, lock = programs.python, programs.lock
    settings: dict[str, Any] = {
        "adopt": host.adopt,
        "architecture": host.architecture,
        "certificate": {
            "days": host.certificate.days,
            "names": subject_alternative_names(host),
            "source": host.certificate.source,
            "thumbprint": host.certificate.thumbprint,
        },
        "downloads": {"proxy": host.downloads.proxy},
        "firewall": {"remote_addresses": list(host.firewall.remote_addresses)},
        "host": host.name,
        "notebook": {
            "directory": host.notebook.directory,
            "ip": host.notebook.ip,
            "port": host.notebook.port,
            "session": host.notebook.session,
        },
        "openssl": download_settings(programs.openssl),
        "packages": {
            "index_url": host.packages.index_url,
            "installer": host.packages.installer,
            "lock_sha256": lock.sha256,
        },
        "path": path(host, python.version, lock.sha256),
        "python": download_settings(python),
        "reboot": host.reboot,
        "release": __version__,
        "scope": "machine",
        "skip": sorted(host.skip),
        "vc_redist": download_settings(programs.vc_redist) if programs.vc_redist else None,
        "windows": host.windows,
    }
    return render_windows(settings, lock.lines)


def path(host: WindowsHost | LocalWindowsHost, python_version: str, lock_sha256: str) -> dict[str, Any]:
    """The entries of the machine's PATH: the inventory's, or those of what is installed.

    Where an installer puts Python and OpenSSL is known on the host only, hence `programs` beside the entries.
    """
    if host.path.entries is not None:
        return {"entries": list(host.path.entries), "programs": False}
    return {"entries": default_path(python_version, lock_sha256), "programs": True}


def default_path(python_version: str, lock_sha256: str) -> list[str]:
    """What is added to PATH where the inventory does not name any entries."""
    return [f"{PROGRAMS}\\env-{python_version}-{lock_sha256[:8]}\\Scripts"]


def download_settings(download: Download) -> dict[str, Any]:
    """What a script has to know of an entry of the catalog."""
    return {
        "executable": list(download.executable),
        "kind": download.kind,
        "sha256": download.sha256,
        "size": download.size,
        "url": download.url,
        "version": download.version,
    }
