"""A loaded catalog: its entries and locks, and what of them a host gets."""

from __future__ import annotations

from dataclasses import dataclass

from nbserver.base.errors import CatalogError
from nbserver.catalog.choice import Requirement, begins, choose, choose_default, suits
from nbserver.catalog.entries import Download, Lock
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.windows_host import WindowsHost


@dataclass(frozen=True)
class Programs:
    """What is installed on a Windows host: its programs, and the packages of its Python. `vc_redist` is None if OpenSSL does not need it."""

    python: Download
    openssl: Download
    vc_redist: Download | None
    lock: Lock


@dataclass(frozen=True)
class Catalog:
    """`digest` is the SHA-256 over all files that were loaded; entries and locks of a site catalog come first.

    `of_site` is how many of the downloads are the site catalog's.
    """

    downloads: tuple[Download, ...]
    locks: tuple[Lock, ...]
    default_python: str
    default_openssl: str
    digest: str
    of_site: int = 0

    def programs_for(self, host: WindowsHost | LocalWindowsHost) -> Programs:
        """What the host gets, by its processor, its Windows and the versions that the inventory asks for. Raises CatalogError."""
        architecture, windows = host.architecture, host.windows
        accepted = host.accept_end_of_life
        python = self.python(host.python.version, architecture, host.python.kind, windows=windows, end_of_life=accepted)
        openssl = self.openssl(host.openssl.version, architecture, host.openssl.kind, windows=windows, end_of_life=accepted)
        vc_redist = self.vc_redist(architecture, windows=windows) if openssl.needs_vc_redist else None
        return Programs(python, openssl, vc_redist, self.lock(python.version, architecture))

    def python(
        self,
        version_prefix: str | None,
        architecture: str,
        kind: str | None = None,
        *,
        windows: str | None = None,
        end_of_life: bool = False,
    ) -> Download:
        """Return the highest verified Python of that beginning ("3.13" fits 3.13.9, not 3.1) that runs on the host.

        `windows` is the inventory's name of its release, None: Windows 10, Server 2016 or newer. Without a beginning it is
        the catalog's default; on a Windows that is too old for that, the highest that has a lock. Raises CatalogError.
        """
        wanted = Requirement("python", version_prefix or self.default_python, architecture, kind, windows, end_of_life)
        if version_prefix:
            return choose(self.downloads, wanted)
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
        """Return the highest verified OpenSSL of that beginning that runs on the host. Raises CatalogError."""
        return choose(
            self.downloads, Requirement("openssl", version_prefix or self.default_openssl, architecture, kind, windows, end_of_life)
        )

    def vc_redist(self, architecture: str, *, windows: str | None = None) -> Download:
        """Return the newest verified Visual C++ redistributable that runs on the host. Raises CatalogError.

        No setting names its version, so one of the site catalog that runs there goes before newer ones of the shipped catalog.
        """
        wanted = Requirement("vc_redist", "14", architecture, None, windows, True)
        own = [entry for entry in self.downloads[: self.of_site] if suits(entry, wanted)]
        return choose(own or self.downloads, wanted)

    def lock(self, python_version: str, architecture: str) -> Lock:
        """Return the lock file for a Python, such as "3.13.13" or "3.13". Raises CatalogError."""
        found = self._lock(python_version, architecture)
        if found:
            return found
        have = ", ".join(f"{lock.python} ({lock.architecture})" for lock in self.locks)
        raise CatalogError(
            f"there is no lock file for Python {python_version} on {architecture}; there is one for: {have}",
            where="catalog",
            todo="Choose such a python.version, or add a [[lock]] in a site catalog",
        )

    def _lock(self, python_version: str, architecture: str) -> Lock | None:
        fitting = (lock for lock in self.locks if lock.architecture == architecture and begins(python_version, lock.python))
        return next(fitting, None)
