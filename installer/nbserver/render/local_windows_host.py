"""Render the script of this machine in user scope on Windows. The script needs no administrator rights."""

from __future__ import annotations

import sysconfig

from nbserver import __version__
from nbserver.catalog.catalog import Catalog
from nbserver.certificate.names import subject_alternative_names
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.render.own_python import this_python
from nbserver.render.powershell import render_windows
from nbserver.render.script import Script
from nbserver.render.settings import Downloads, Packages
from nbserver.render.site_locks import SiteLocks
from nbserver.render.windows_settings import PathEntries, PresentPython, WindowsCertificate, WindowsNotebook, WindowsUserSettings


def render(host: LocalWindowsHost, catalog: Catalog, site_locks: SiteLocks | None = None) -> Script:
    """Return the script for user scope, which uses the Python that runs nbserver. Raises UsageError and CatalogError.

    `site_locks` has the locks that the inventory chooses.
    """
    own = (site_locks or SiteLocks()).of(host, sysconfig.get_python_version())
    python = this_python(catalog, own, with_uv=host.packages.installer != "pip")
    downloads = Downloads.of(host.downloads)
    settings = WindowsUserSettings(
        adopt=False,
        architecture=host.architecture,
        certificate=WindowsCertificate(
            days=host.certificate.days, names=tuple(subject_alternative_names(host)), source="host", thumbprint=None
        ),
        downloads=downloads,
        firewall=host.firewall,
        host=host.name,
        notebook=WindowsNotebook.of(host.notebook),
        openssl=None,
        packages=Packages(
            index_url=downloads.index(host.packages.index_url), installer=host.packages.installer, lock_sha256=python.lock.sha256
        ),
        path=PathEntries(entries=(), programs=False),
        python=PresentPython(executable=("python.exe",), folder=python.folder, kind="present", version=python.branch),
        reboot=host.reboot,
        release=__version__,
        scope="user",
        skip=(),
        vc_redist=None,
        windows=host.windows,
    )
    return render_windows(settings, python.lock.lines)
