"""What is downloaded: version, URL, size and SHA-256 of every program, and the lock files of the packages.

The shipped catalog is package data (catalog/data/windows.toml); a site catalog may be laid over it.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nbserver.base.errors import CatalogError
from nbserver.catalog import windows_releases
from nbserver.catalog.choice import Wanted, begins, choose, choose_default, suits
from nbserver.settings.faults import dotted, faults
from nbserver.settings.toml_lines import Key, Readable, TomlFile, parse, read
from nbserver.settings.types import Array, Settings, VersionPrefix, WebAddress, refuse


@dataclass(frozen=True)
class Download:
    """One file. `sha256` is 64 lower-case hex digits, or None: unverified, never used. `size` is in bytes, if known.

    `executable` is the program's path inside a zip or an installer's folder (one), or where an msi puts it (candidates,
    in order); backslashes. The Visual C++ redistributable has none.
    `source` tells where the publisher's hash was read.
    `windows` is the lowest NT version on which it runs; `end_of_life`: its publisher repairs no faults in it any more.
    """

    name: str
    version: str
    architecture: str
    kind: str
    url: str
    sha256: str | None
    size: int | None
    executable: tuple[str, ...]
    source: str
    needs_vc_redist: bool = False
    windows: str = windows_releases.OLDEST
    end_of_life: bool = False


@dataclass(frozen=True)
class Lock:
    """The packages of one Python and architecture: `lines` are sorted, `NAME==VERSION --hash=sha256:HEX [--hash=...]`.

    `sha256` is of the lines, each with a line feed: a comment in the file changes nothing.
    """

    python: str
    architecture: str
    file: str
    lines: tuple[str, ...]
    sha256: str


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
        wanted = Wanted("python", version_prefix or self.default_python, architecture, kind, windows, end_of_life)
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
        return choose(self.downloads, Wanted("openssl", version_prefix or self.default_openssl, architecture, kind, windows, end_of_life))

    def vc_redist(self, architecture: str, *, windows: str | None = None) -> Download:
        """Return the newest verified Visual C++ redistributable that runs on the host. Raises CatalogError.

        No setting names its version, so one of the site catalog that runs there goes before newer ones of the shipped catalog.
        """
        wanted = Wanted("vc_redist", "14", architecture, None, windows, True)
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


def load(overlay: Path | None = None) -> Catalog:
    """Load the shipped catalog and lay a site catalog over it.

    An entry of the site catalog replaces the shipped one of the same program, version, architecture and kind; a lock
    the one of the same Python and architecture; its [defaults] replace key by key.
    Raises CatalogError with file and line for whatever is wrong in a catalog or a lock file.
    """
    data = importlib.resources.files("nbserver").joinpath("catalog", "data")
    shipped = data.joinpath("windows.toml")
    layers = [_read_layer(parse(shipped.read_bytes(), CatalogError, name="windows.toml"), data)]
    if overlay is not None:
        layers.insert(0, _read_layer(read(overlay, CatalogError), overlay.parent))
    downloads: dict[tuple[str, ...], Download] = {}
    locks: dict[tuple[str, str], Lock] = {}
    defaults: dict[str, str] = {}
    digest = hashlib.sha256()
    for layer in layers:
        for download in layer.downloads:
            downloads.setdefault((download.name, download.version, download.architecture, download.kind), download)
        for lock in layer.locks:
            locks.setdefault((lock.python, lock.architecture), lock)
        defaults = {**layer.defaults, **defaults}
        for content in layer.contents:
            digest.update(hashlib.sha256(content).digest())
    of_site = len(layers[0].downloads) if overlay is not None else 0
    return Catalog(tuple(downloads.values()), tuple(locks.values()), defaults["python"], defaults["openssl"], digest.hexdigest(), of_site)


def _hash(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise refuse(f"it has {len(text)} characters or others than 64 hex digits")
    return text.lower()


def _download_url(text: str) -> str:
    if text.endswith("/"):
        raise refuse("it names a folder, not a file")
    return text


def _candidates(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _program_path(text: str) -> str:
    if "/" in text:
        raise refuse("folders are separated by backslashes")
    if any(part in ("", ".", "..") for part in text.split("\\")):
        raise refuse("it holds an empty part, . or ..")
    return text


_SHA256 = "64 hex digits; leave it out for an entry whose hash is not known from its publisher"


class Entry(Settings):
    """A [[python]], [[openssl]] or [[vc_redist]] table."""

    version: VersionPrefix = Field(description='a whole version such as "3.13.13"')
    architecture: Literal["x64", "arm64"] = Field(description="x64 or arm64")
    kind: Literal["zip", "msi", "exe"] = Field(description="zip, msi or exe")
    url: Annotated[WebAddress, AfterValidator(_download_url)] = Field(description="the http or https URL of a file, without credentials")
    sha256: Annotated[str, AfterValidator(_hash)] | None = Field(default=None, description=_SHA256)
    size: int | None = Field(default=None, ge=1, description="the number of bytes")
    executable: Annotated[tuple[Annotated[str, AfterValidator(_program_path)], ...], Array, BeforeValidator(_candidates)] = Field(
        min_length=1, description="a path inside the zip, or an array of the paths that an msi may install"
    )
    source: str = Field(default="", description="where the publisher's hash was read, and when")

    needs_vc_redist: bool = Field(default=False, description="true or false")
    windows: VersionPrefix = Field(default=windows_releases.OLDEST, description='the lowest NT version on which it runs, such as "6.3"')
    end_of_life: bool = Field(default=False, description="true or false")

    @model_validator(mode="after")
    def _fitting_executable(self) -> Entry:
        absolute = [bool(re.match(r"%\w[\w()]*%\\|[A-Za-z]:\\", path)) for path in self.executable]
        if self.kind != "msi" and (len(absolute) > 1 or any(absolute) or any(":" in path for path in self.executable)):
            raise refuse(
                f"executable of a{'n exe' if self.kind == 'exe' else ' zip'} is one path inside {'its folder' if self.kind == 'exe' else 'it'}"
            )
        if self.kind == "msi" and not all(absolute):
            raise refuse('executable of an msi is an absolute path such as "%ProgramFiles%\\OpenSSL\\bin\\openssl.exe"')
        return self


class PythonEntry(Entry):
    kind: Literal["zip", "exe"] = Field(description="zip or exe")


class VcRedistEntry(Entry):
    kind: Literal["exe"] = Field(description="exe")
    executable: tuple[()] = Field(default=(), description="left out")


class LockEntry(Settings):
    python: VersionPrefix = Field(description='the Python\'s branch, such as "3.13"')
    architecture: Literal["x64", "arm64"] = Field(description="x64 or arm64")
    file: str = Field(description="the path of a lock file, relative to the catalog")


class Defaults(Settings):
    python: VersionPrefix | None = Field(default=None, description='a version or its beginning, such as "3.13"')
    openssl: VersionPrefix | None = Field(default=None, description='a version or its beginning, such as "3.5"')


class CatalogFile(Settings):
    defaults: Defaults = Defaults()
    python: Annotated[tuple[PythonEntry, ...], Array] = Field(default=(), description="tables [[python]]")
    openssl: Annotated[tuple[Entry, ...], Array] = Field(default=(), description="tables [[openssl]]")
    vc_redist: Annotated[tuple[VcRedistEntry, ...], Array] = Field(default=(), description="tables [[vc_redist]]")
    lock: Annotated[tuple[LockEntry, ...], Array] = Field(default=(), description="tables [[lock]]")


class _Folder(Protocol):
    def joinpath(self, name: str, /) -> Readable: ...


@dataclass(frozen=True)
class _Layer:
    downloads: list[Download]
    locks: list[Lock]
    defaults: dict[str, str]
    contents: list[bytes]


def _read_layer(file: TomlFile, folder: _Folder) -> _Layer:
    wrong = [(file.line(key), message) for key, message in faults(file.values, CatalogFile, {}, missing=True)]
    if not wrong:
        wrong = [(file.line(key), f"{dotted(key)}: there is such an entry already") for key in _repeated(file.values)]
    _raise(file.name, wrong)
    checked = CatalogFile.model_validate(file.values)
    contents = [file.content]
    locks = []
    for index, entry in enumerate(checked.lock):
        try:
            content = folder.joinpath(entry.file).read_bytes()
        except OSError as reason:
            raise CatalogError(
                f"the lock file {entry.file} cannot be read: {reason.strerror}",
                where=file.where(("lock", index, "file")),
            ) from None
        contents.append(content)
        locks.append(_lock(entry, content))
    downloads = [
        Download(name=name, **entry.model_dump())
        for name, entries in (("python", checked.python), ("openssl", checked.openssl), ("vc_redist", checked.vc_redist))
        for entry in entries
    ]
    return _Layer(downloads, locks, checked.defaults.model_dump(exclude_none=True), contents)


def _repeated(values: dict[str, Any]) -> list[Key]:
    """Return the places of entries that say something about what an earlier one says something about."""
    repeated: list[Key] = []
    for table, names in (
        ("python", "version architecture kind"),
        ("openssl", "version architecture kind"),
        ("vc_redist", "version architecture kind"),
        ("lock", "python architecture"),
    ):
        seen: set[tuple[Any, ...]] = set()
        for index, entry in enumerate(values.get(table, [])):
            identity = tuple(entry[name] for name in names.split())
            if identity in seen:
                repeated.append((table, index))
            seen.add(identity)
    return repeated


_LOCK_LINE = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)==([0-9][0-9a-z.!+-]*)( --hash=sha256:[0-9a-f]{64})+")


def _lock(entry: LockEntry, content: bytes) -> Lock:
    """Read a lock file; every line that is not empty or a comment must be one package with its hashes."""
    packages: dict[str, str] = {}
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        line = line.rstrip()
        match = _LOCK_LINE.fullmatch(line)
        if not line or line.startswith("#"):
            continue
        if not match:
            wrong.append((number, "this is not a line such as name==1.2.3 --hash=sha256:... (64 hex digits, name in lower case)"))
        elif match.group(1) in packages:
            wrong.append((number, f"{match.group(1)} stands here a second time"))
        else:
            packages[match.group(1)] = line
    if not packages and not wrong:
        wrong.append((1, "there is no package in it"))
    _raise(entry.file, wrong)
    lines = tuple(packages[name] for name in sorted(packages))
    sha256 = hashlib.sha256("".join(f"{line}\n" for line in lines).encode("ascii")).hexdigest()
    return Lock(entry.python, entry.architecture, entry.file, lines, sha256)


def _raise(name: str, wrong: Iterable[tuple[int, str]]) -> None:
    faults = sorted(set(wrong))
    if faults:
        text = [faults[0][1], *(f"{name}:{line}: {message}" for line, message in faults[1:])]
        raise CatalogError("\n".join(text), where=f"{name}:{faults[0][0]}")
