"""Render the script of a validated Linux host from its settings and the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbserver import __version__
from nbserver.catalog.linux_lock import LinuxLock
from nbserver.catalog.site_lock import SiteLock
from nbserver.certificate.names import subject_alternative_names
from nbserver.render.bash import render_linux
from nbserver.render.linux_settings import LinuxNotebook, LinuxPackages, LinuxPython, LinuxScriptSettings, ServiceLimits
from nbserver.render.own_python import own_program
from nbserver.render.script import Script
from nbserver.render.settings import Certificate, Downloads

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost


def render(host: LinuxHost | LocalLinuxHost, lock: LinuxLock) -> Script:
    """Return the script of a Linux host, which is the same on every workstation.

    In user scope, the script names the Python that runs nbserver.
    """
    downloads = Downloads.of(host.downloads)
    settings = LinuxScriptSettings(
        architecture=host.architecture,
        certificate=Certificate(days=host.certificate.days, names=tuple(subject_alternative_names(host))),
        downloads=downloads,
        firewall=host.firewall,
        host=host.name,
        notebook=LinuxNotebook.of(host.notebook),
        packages=LinuxPackages(
            index_url=downloads.index(host.packages.index_url),
            installer=host.packages.installer,
            lock_sha256=lock.sha256,
            source=host.packages.source,
        ),
        python=LinuxPython(program=own_program() if host.scope == "user" else None, version=host.python.version),
        release=__version__,
        scope=host.scope,
        service=_limits(host),
        skip=tuple(sorted(host.skip)),
        system=host.system,
    )
    return render_linux(settings, lock.lines)


def lock_of(host: LinuxHost | LocalLinuxHost, own: SiteLock) -> LinuxLock:
    """Return the lines of a site's lock that a host gets. Raises CatalogError."""
    return own.for_linux(host.architecture, host.python.version, with_uv=host.packages.installer != "pip")


def _limits(host: LinuxHost | LocalLinuxHost) -> ServiceLimits:
    if host.scope == "user":
        return ServiceLimits(None, None, None)
    return ServiceLimits(host.service.cpu_quota, host.service.memory_max, host.service.tasks_max)
