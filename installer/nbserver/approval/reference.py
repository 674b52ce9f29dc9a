"""What rendered scripts are compared with: the bodies, catalogs, and locks of this release, and the given site catalogs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbserver import __version__
from nbserver.approval.script_settings import AnyScriptSettings
from nbserver.base.errors import CatalogError
from nbserver.base.message import DescribedError, phrase
from nbserver.base.plain_text import clean
from nbserver.catalog import linux_lock, reader, shipped_sets
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.choice import begins
from nbserver.catalog.entries import Lock
from nbserver.catalog.linux_lock import LinuxLock
from nbserver.catalog.site_lock import SiteLock
from nbserver.render import bash, powershell, windows_host
from nbserver.render.body import Body
from nbserver.render.linux_settings import LinuxScriptSettings
from nbserver.render.script import Script
from nbserver.render.step_files import SCOPES, SUFFIX, read_body, read_titles
from nbserver.render.windows_settings import WindowsScriptSettings

SHIPPED = phrase("of release {release}", release=__version__)
OF_SITE = phrase("of the site")


class UnknownCatalogError(DescribedError):
    """The digest is that of neither the shipped catalog nor a given site catalog."""


class UnknownLockError(DescribedError):
    """The lock is neither that of the catalog nor a given one."""


@dataclass(frozen=True)
class ReleasedBody:
    """The body of this release for a system and scope. `titles` has the (name, title) of each step."""

    system: str
    scope: str
    extension: str
    body: Body
    titles: tuple[tuple[str, str], ...]

    @classmethod
    def load(cls, system: str, scope: str) -> ReleasedBody:
        kind = {"Windows": "ps_scripts", "Linux": "linux_scripts"}[system]
        body = read_body(kind, scope)
        return cls(system, scope, SUFFIX[kind].removeprefix("."), body, tuple(read_titles(body)))

    @property
    def sha256(self) -> str:
        return self.body.sha256


@dataclass(frozen=True)
class Source:
    """Where the packages and downloads of a script come from. `title` and `lock_title` are texts for the report."""

    title: str
    lock_title: str
    lock: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """`shipped` is the catalog of this release; `site` maps the digest of each given site catalog to its title and the catalog.

    `site_locks` are the given locks.
    """

    bodies: Mapping[tuple[str, str], ReleasedBody]  # by system and scope
    shipped: Catalog
    linux_lock: LinuxLock
    site: Mapping[str, tuple[str, Catalog]]
    site_locks: Sequence[SiteLock] = ()

    @classmethod
    def load(cls, site_catalogs: Iterable[Path] = (), site_locks: Iterable[Path] = ()) -> Reference:
        """Read the bodies, catalogs, and locks. Raises CatalogError."""
        loaded = [(_title(path.name), reader.load(path)) for path in site_catalogs]
        return cls(
            {(system, scope): ReleasedBody.load(system, scope) for system in ("Windows", "Linux") for scope in SCOPES},
            reader.load(),
            linux_lock.load(),
            {catalog.digest: (title, catalog) for title, catalog in loaded},
            [SiteLock.load(file) for path in site_locks for file in _files(path)],
        )

    def body(self, settings: AnyScriptSettings) -> ReleasedBody:
        return self.bodies["Linux" if isinstance(settings, LinuxScriptSettings) else "Windows", settings.scope]

    def source(self, settings: AnyScriptSettings, digest: str) -> Source:
        """Return the catalog and lock that the hashes identify. Raises ValueError or CatalogError if a hash or setting matches neither."""
        if isinstance(settings, LinuxScriptSettings):
            return self._linux_source(settings, digest)
        title, catalog = self._catalog(digest)
        of_catalog = any(lock.sha256 == settings.packages.lock_sha256 for lock in catalog.locks)
        own = None if of_catalog else self._site_lock(settings)
        lock = own or _lock(settings, catalog)
        _require_lock(settings, lock.sha256)
        _require_downloads(settings, catalog)
        if settings.path.programs and settings.path.entries != windows_host.default_path(settings.python.version, lock.sha256):
            raise DescribedError(
                "path-entries-not-default", "settings.path.entries must be the default entries if settings.path.programs is true"
            )
        if own:
            return Source(title, _lock_title(own.file), own.lines)
        shipped = any(lock.sha256 == one.sha256 for one in self.shipped.locks)
        file = _title(lock.file)
        return Source(title, _joined(file, SHIPPED) if shipped else phrase("{file} of {catalog}", file=file, catalog=title), lock.lines)

    def _linux_source(self, settings: LinuxScriptSettings, digest: str) -> Source:
        if digest == self.linux_lock.file_sha256:
            _require_lock(settings, self.linux_lock.sha256)
            return Source(SHIPPED, _joined(linux_lock.FILE, SHIPPED), self.linux_lock.lines)
        for own in self._locks():
            if own.file_sha256 == digest:
                lock = own.for_linux(settings.architecture, settings.python.version, with_uv=settings.packages.installer != "pip")
                _require_lock(settings, lock.sha256)
                return Source(SHIPPED if own.name in shipped_sets.load_all() else OF_SITE, _lock_title(own.name), lock.lines)
        raise UnknownLockError(
            "linux-lock-differs",
            "catalog_sha256 matches neither the shipped lock {release} for Linux hosts nor any lock given with --lock",
            release=SHIPPED,
        )

    def _locks(self) -> Iterator[SiteLock]:
        """Yield the given locks, and the shipped ones of packages.set, which are read only if they are needed."""
        yield from self.site_locks
        yield from shipped_sets.load_all().values()

    def _site_lock(self, settings: WindowsScriptSettings) -> Lock | None:
        """Return the lines of the given lock that has the hash in the settings, or None."""
        for own in self._locks():
            try:
                lock = own.for_windows(settings.architecture, settings.python.version, with_uv=settings.packages.installer != "pip")
            except CatalogError:
                continue  # it is for other hosts
            if lock.sha256 == settings.packages.lock_sha256:
                return lock
        return None

    def _catalog(self, digest: str) -> tuple[str, Catalog]:
        if digest == self.shipped.digest:
            return SHIPPED, self.shipped
        if digest not in self.site:
            raise UnknownCatalogError(
                "catalog-not-given",
                "catalog_sha256 matches neither the shipped catalog {release} nor any site catalog given with --catalog",
                release=SHIPPED,
            )
        title, catalog = self.site[digest]
        return title, catalog

    def rendered(self, settings: AnyScriptSettings, source: Source) -> Script:
        """Return the script for these settings, exactly as `nbserver render` writes it. Raises NbserverError."""
        language = bash if isinstance(settings, LinuxScriptSettings) else powershell
        released, values = self.body(settings), settings.as_json()
        return Script.joined(values, language.head(values, source.lock, released.body), released.body, released.extension)


def _files(path: Path) -> list[Path]:
    """Return the locks in a folder, or the file itself."""
    return sorted(path.glob("*.txt")) if os.path.isdir(path) else [path]  # noqa: PTH112 (Path.is_dir raises PermissionError)


def _title(name: str) -> str:
    """Return a file name in ASCII for the report, so that a letter that looks like another one stands out."""
    return clean(name, 100).encode("ascii", "backslashreplace").decode("ascii")


def _lock_title(name: str) -> str:
    return _joined(name, SHIPPED) if name in shipped_sets.load_all() else _joined(_title(Path(name).name), OF_SITE)


def _joined(file: str, origin: str) -> str:
    return phrase("{file} {origin}", file=file, origin=origin)


def _require_lock(settings: AnyScriptSettings, sha256: str) -> None:
    if settings.packages.lock_sha256 != sha256:
        raise UnknownLockError(
            "lock-differs",
            "settings.packages.lock_sha256 matches neither the catalog's lock for this host ({expected}) nor any lock given with --lock",
            expected=sha256,
        )


def _lock(settings: WindowsScriptSettings, catalog: Catalog) -> Lock:
    python, architecture = settings.python.version, settings.architecture
    user = settings.scope == "user"  # its Python is not from the catalog, so the branch selects the lock
    for lock in catalog.locks:
        if lock.architecture == architecture and (lock.python == python if user else begins(python, lock.python)):
            return lock
    raise DescribedError(
        "no-lock-for-architecture",
        'the catalog has no lock for settings.python.version = "{version}" on {architecture}',
        version=python,
        architecture=architecture,
    )


def _require_downloads(settings: WindowsScriptSettings, catalog: Catalog) -> None:
    if settings.scope == "user":
        return
    verified = [(entry, windows_host.program(entry, settings.downloads)) for entry in catalog.downloads if entry.sha256]
    for name, program in (("python", settings.python), ("openssl", settings.openssl)):
        if program not in [found for entry, found in verified if (entry.name, entry.architecture) == (name, settings.architecture)]:
            raise DescribedError(
                "program-not-verified", "settings.{name} does not match any catalog entry that has the publisher's hash", name=name
            )
    needed = any(entry.name == "openssl" and entry.needs_vc_redist and found == settings.openssl for entry, found in verified)
    wanted = (
        windows_host.program(catalog.vc_redist(settings.architecture, windows=settings.windows), settings.downloads) if needed else None
    )
    if settings.vc_redist != wanted:
        raise DescribedError("vc-redist-differs", "settings.vc_redist does not match what the catalog requires for settings.openssl")
