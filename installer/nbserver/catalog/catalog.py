"""A loaded catalog: its entries and locks, and the selection for a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbserver.base.errors import CatalogError
from nbserver.catalog.choice import Requirement, begins, choose, choose_default, suits
from nbserver.catalog.entries import Download, Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost


@dataclass(frozen=True)
class Programs:
    """What is installed on a Windows host: programs, and the packages of Python. `vc_redist` is None if OpenSSL does not need it."""

    python: Download
    openssl: Download
    vc_redist: Download | None
    lock: Lock


@dataclass(frozen=True)
class Catalog:
    """`digest` is the SHA-256 over all loaded files. Entries and locks of a site catalog come first.

    `of_site` is the number of downloads from the site catalog.
    """

    downloads: tuple[Download, ...]
    locks: tuple[Lock, ...]
    default_python: str
    default_openssl: str
    digest: str
    of_site: int = 0

    def programs_for(self, host: WindowsHost | LocalWindowsHost, locked: Callable[[str, str], Lock] | None = None) -> Programs:
        """Return the programs for the processor, Windows release and configured versions of the host. Raises CatalogError.

        `locked` returns the lock for an architecture and a version of Python if it is not that of the catalog.
        """
        architecture, windows = host.architecture, host.windows
        accepted = host.accept_end_of_life
        python = self.python_for(host)
        openssl = self.openssl(host.openssl.version, architecture, host.openssl.kind, windows=windows, end_of_life=accepted)
        vc_redist = self.vc_redist(architecture, windows=windows) if openssl.needs_vc_redist else None
        lock = locked(architecture, python.version) if locked else self.lock(python.version, architecture)
        return Programs(python, openssl, vc_redist, lock)

    def python_for(self, host: WindowsHost | LocalWindowsHost) -> Download:
        """Return the Python of a host. Raises CatalogError."""
        version, kind = host.python.version, host.python.kind
        return self.python(version, host.architecture, kind, windows=host.windows, end_of_life=host.accept_end_of_life)

    def python(
        self,
        version_prefix: str | None,
        architecture: str,
        kind: str | None = None,
        *,
        windows: str | None = None,
        end_of_life: bool = False,
    ) -> Download:
        """Return the highest verified Python with this version prefix that runs on the host ("3.1" does not match 3.13).

        `windows` is the release in the inventory; None means Windows 10, Server 2016 or newer. Without a prefix, return the
        default of the catalog, or the highest version with a lock if Windows is too old for it. Raises CatalogError.
        """
        wanted = Requirement("python", version_prefix or self.default_python, architecture, kind, windows, end_of_life)
        own = self._of_site(wanted)
        if own or version_prefix:
            return own or choose(self.downloads, wanted)
        return choose_default(self.downloads, wanted, lambda entry: self._lock(entry.version, architecture) is not None)

    def openssl(
        self,
        version_prefix: str | None,
        architecture: str,
        kind: str | None = None,
        *,
        windows: str | None = None,
        end_of_life: bool = False,
    ) -> Download:
        """Return the highest verified OpenSSL with this version prefix that runs on the host. Raises CatalogError."""
        wanted = Requirement("openssl", version_prefix or self.default_openssl, architecture, kind, windows, end_of_life)
        return self._of_site(wanted) or choose(self.downloads, wanted)

    def vc_redist(self, architecture: str, *, windows: str | None = None) -> Download:
        """Return the newest verified Visual C++ redistributable that runs on the host. Raises CatalogError.

        No setting selects its version, so an entry of the site catalog takes precedence over newer ones of the shipped catalog.
        """
        wanted = Requirement("vc_redist", "14", architecture, None, windows, True)
        own = [entry for entry in self.downloads[: self.of_site] if suits(entry, wanted)]
        return choose(own or self.downloads, wanted)

    def _of_site(self, wanted: Requirement) -> Download | None:
        """Return the choice from the site catalog. It takes precedence, also if it is older: other hosts may be out of reach.

        Raises CatalogError if the site catalog has what is wanted, but without a hash.
        """
        try:
            return choose(self.downloads[: self.of_site], wanted)
        except CatalogError as error:
            if error.code == "program-unverified":
                raise
            return None

    def lock(self, python_version: str, architecture: str) -> Lock:
        """Return the lock for a Python version such as "3.13.13" or "3.13". Raises CatalogError."""
        found = self._lock(python_version, architecture)
        if found:
            return found
        have = ", ".join(f"{lock.python} ({lock.architecture})" for lock in self.locks)
        raise CatalogError(
            "no-lock-for-python",
            "the catalog has no lock for Python {version} on {architecture}; it has locks for: {locks}",
            where="catalog",
            todo="Set python.version to one of these versions, or add a [[lock]] to a site catalog",
            version=python_version,
            architecture=architecture,
            locks=have,
        )

    def _lock(self, python_version: str, architecture: str) -> Lock | None:
        fitting = (lock for lock in self.locks if lock.architecture == architecture and begins(python_version, lock.python))
        return next(fitting, None)
