"""The lock that a host gets if its inventory chooses packages, and the kind of a host."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import CatalogError
from nbserver.catalog import shipped_sets, written_lock
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.lock_kind import LockKind
from nbserver.catalog.package_request import PackageRequest
from nbserver.catalog.site_lock import SiteLock
from nbserver.inventory.by_kind import ByKind
from nbserver.inventory.collaboration import PACKAGE, with_package

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.package_choice import PackageChoice
    from nbserver.inventory.windows_host import WindowsHost


Load = Callable[[Path | None], Catalog]
"""Loads a catalog, each once."""


def _windows(host: WindowsHost | LocalWindowsHost, catalog: Load) -> LockKind:
    return LockKind.of("windows", host.architecture, catalog(host.catalog).python_for(host).version)


def _local_windows(host: LocalWindowsHost, catalog: Load) -> LockKind:
    if host.scope == "machine":
        return _windows(host, catalog)
    return LockKind.of("windows", host.architecture, sysconfig.get_python_version())  # of the Python that runs nbserver


def _linux(host: LinuxHost | LocalLinuxHost, catalog: Load) -> LockKind:
    return LockKind.of("linux", host.architecture, host.python.version)


kind_of = ByKind(windows=_windows, linux=_linux, local_windows=_local_windows, local_linux=_linux)
"""Returns the kind of a host. Raises CatalogError."""


def path_of(host: AnyHost, kind: LockKind) -> Path:
    """Return where `nbserver lock` writes the lock of a host."""
    return host.packages.lock_folder / kind.file_name


def packages_of(host: AnyHost) -> PackageChoice:
    """Return the packages that the inventory chooses, with those that its settings need."""
    choice = host.packages
    if not host.notebook.collaboration or choice.lock:
        return choice
    return choice.model_copy(update={"include": with_package(choice.include)})


def _with_collaboration(lock: SiteLock, host: AnyHost) -> SiteLock:
    if host.notebook.collaboration and all(one.name != PACKAGE for one in lock.packages):
        raise CatalogError(
            "lock-without-collaboration",
            "notebook.collaboration requires the package {package}, which {file} does not contain",
            where=host.name,
            todo="Add this package to your lock, or set notebook.collaboration = false",
            package=PACKAGE,
            file=lock.name,
        )
    return lock


class SiteLocks:
    """The locks that inventories choose. Each file is read once."""

    def __init__(self) -> None:
        self._lock, self._request = cache(SiteLock.load), cache(PackageRequest.of)

    def of(self, host: AnyHost, version: str | None) -> SiteLock | None:
        """Return the lock of a host with this version of Python; None if it gets the shipped one. Raises CatalogError and ApprovalError."""
        choice = packages_of(host)
        if choice.lock:
            return _with_collaboration(self._lock(choice.lock), host)
        if not choice.is_own:
            return None
        kind = LockKind.of(host.system, host.architecture, version)
        shipped = shipped_sets.lock_of(choice, kind)
        if shipped:
            return shipped
        path = path_of(host, kind)
        if not os.path.exists(path):  # noqa: PTH110 (Path.exists raises PermissionError)
            raise CatalogError(
                "lock-missing", "{file} does not exist", where=host.name, todo="Run: nbserver lock {name}", file=str(path), name=host.name
            )
        lock = self._lock(path)
        written_lock.require_fit(lock, self._request(choice, kind), host.name)
        return lock
