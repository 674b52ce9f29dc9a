"""Render the script of a validated Windows host from its settings and the catalog."""

from __future__ import annotations

from nbserver import __version__
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.entries import Download, Lock
from nbserver.certificate.names import subject_alternative_names
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.windows_host import WindowsHost
from nbserver.render.powershell import render_windows
from nbserver.render.script import Script
from nbserver.render.settings import Downloads, Packages
from nbserver.render.site_locks import SiteLocks
from nbserver.render.windows_settings import (
    PathEntries,
    Program,
    ProgramSource,
    WindowsCertificate,
    WindowsMachineSettings,
    WindowsNotebook,
)

PROGRAMS = "%ProgramFiles%\\nbserver"


def render(host: WindowsHost | LocalWindowsHost, catalog: Catalog, site_locks: SiteLocks | None = None) -> Script:
    """Return the script of a Windows host, which is the same on every workstation. Raises CatalogError.

    `site_locks` has the locks that the inventory chooses.
    """

    def locked(architecture: str, python: str) -> Lock:
        own = (site_locks or SiteLocks()).of(host, python)
        return (
            own.for_windows(architecture, python, with_uv=host.packages.installer != "pip") if own else catalog.lock(python, architecture)
        )

    programs = catalog.programs_for(host, locked)
    python, lock = programs.python, programs.lock
    downloads = Downloads.of(host.downloads)
    settings = WindowsMachineSettings(
        adopt=host.adopt,
        architecture=host.architecture,
        certificate=WindowsCertificate(
            days=host.certificate.days,
            names=tuple(subject_alternative_names(host)),
            source=host.certificate.source,
            thumbprint=host.certificate.thumbprint,
        ),
        downloads=downloads,
        firewall=host.firewall,
        host=host.name,
        notebook=WindowsNotebook.of(host.notebook),
        openssl=program(programs.openssl, downloads),
        packages=Packages(index_url=downloads.index(host.packages.index_url), installer=host.packages.installer, lock_sha256=lock.sha256),
        path=path(host, python.version, lock.sha256),
        python=program(python, downloads),
        reboot=host.reboot,
        release=__version__,
        scope="machine",
        skip=tuple(sorted(host.skip)),
        vc_redist=program(programs.vc_redist, downloads) if programs.vc_redist else None,
        windows=host.windows,
    )
    return render_windows(settings, lock.lines)


def path(host: WindowsHost | LocalWindowsHost, python_version: str, lock_sha256: str) -> PathEntries:
    """Return the entries for the PATH of the machine: those in the inventory, or the default entries.

    Only the host knows where an installer puts Python and OpenSSL. `programs` makes the script add these folders.
    """
    if host.path.entries is not None:
        return PathEntries(entries=host.path.entries, programs=False)
    return PathEntries(entries=default_path(python_version, lock_sha256), programs=True)


def default_path(python_version: str, lock_sha256: str) -> tuple[str, ...]:
    """Return the entries for PATH if the inventory has none."""
    return (f"{PROGRAMS}\\env-{python_version}-{lock_sha256[:8]}\\Scripts",)


def program(download: Download, downloads: Downloads) -> Program:
    """Return what a script needs from an entry in the catalog. Raises ValueError if the entry is unverified, and CatalogError.

    Which of its sources a mirror or the workstation has is not known here.
    """
    source = _source(download, downloads)
    others = tuple(_source(one, downloads) for one in download.sources)
    return Program(source.executable, source.kind, source.sha256, source.size, source.url, source.version, others)


def _source(download: Download, downloads: Downloads) -> ProgramSource:
    if download.sha256 is None:
        raise ValueError(f"{download.name} {download.version} is unverified")
    url = downloads.url(download.url, download.sha256)
    return ProgramSource(download.executable, download.kind, download.sha256, download.size, url, download.version)
