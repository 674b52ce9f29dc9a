"""Checked hosts, turned into their scripts."""

from __future__ import annotations

from collections.abc import Sequence

from nbserver.catalog import linux_lock, reader
from nbserver.inventory.hosts import AnyHost
from nbserver.inventory.linux_host import LinuxHost
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.windows_host import WindowsHost
from nbserver.render import linux_host, local_windows_host, windows_host
from nbserver.render.script import Script


def render_all(hosts: Sequence[AnyHost]) -> list[tuple[Script, str]]:
    """Each host's script, and the digest of the catalog it was rendered from. A catalog is read once. Raises CatalogError, UsageError."""
    loaded = {path: reader.load(path) for path in {host.catalog for host in hosts if isinstance(host, WindowsHost | LocalWindowsHost)}}
    lock = linux_lock.load() if any(isinstance(host, LinuxHost | LocalLinuxHost) for host in hosts) else None
    found = []
    for host in hosts:
        if isinstance(host, WindowsHost | LocalWindowsHost):
            catalog = loaded[host.catalog]
            script = (
                local_windows_host.render(host, catalog)
                if isinstance(host, LocalWindowsHost) and host.scope == "user"
                else windows_host.render(host, catalog)
            )
            found.append((script, catalog.digest))
        elif lock:
            found.append((linux_host.render(host, lock), lock.file_sha256))
    return found
