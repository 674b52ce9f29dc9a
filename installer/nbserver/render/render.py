"""Render the scripts of validated hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from nbserver.catalog import linux_lock, reader
from nbserver.inventory.by_kind import ByKind
from nbserver.render.script import Script
from nbserver.render.site_locks import SiteLocks

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost


class Sources:
    """The catalogs, and the locks. Each is read once, when a host first needs it."""

    def __init__(self) -> None:
        self.catalog, self.lock = cache(reader.load), cache(linux_lock.load)
        self.site_locks = SiteLocks()


def render_each(hosts: Iterable[AnyHost]) -> Iterator[tuple[Script, str]]:
    """Yield the script of each host with the digest of its catalog. Raises CatalogError or UsageError."""
    sources = Sources()
    for host in hosts:
        yield _render(host, sources)


def render_all(hosts: Iterable[AnyHost]) -> list[tuple[Script, str]]:
    """Return what `render_each` yields."""
    return list(render_each(hosts))


def _windows(host: WindowsHost | LocalWindowsHost, sources: Sources) -> tuple[Script, str]:
    from nbserver.render import windows_host

    catalog = sources.catalog(host.catalog)
    return windows_host.render(host, catalog, sources.site_locks), catalog.digest


def _local_windows(host: LocalWindowsHost, sources: Sources) -> tuple[Script, str]:
    if host.scope == "machine":
        return _windows(host, sources)
    from nbserver.render import local_windows_host

    catalog = sources.catalog(host.catalog)
    return local_windows_host.render(host, catalog, sources.site_locks), catalog.digest


def _linux(host: LinuxHost | LocalLinuxHost, sources: Sources) -> tuple[Script, str]:
    from nbserver.render import linux_host

    own = sources.site_locks.of(host, host.python.version)
    lock = linux_host.lock_of(host, own) if own else sources.lock()
    return linux_host.render(host, lock), lock.file_sha256


_render = ByKind(windows=_windows, linux=_linux, local_windows=_local_windows, local_linux=_linux)
