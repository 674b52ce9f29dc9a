"""Run uv: names of packages in, exact versions with their wheels out."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from nbserver.base import system_authorities
from nbserver.base.errors import UsageError
from nbserver.base.plain_text import clean
from nbserver.catalog.lock_kind import LockKind
from nbserver.settings import program_output

_PLATFORMS = {
    ("windows", "x64"): "x86_64-pc-windows-msvc",
    ("windows", "arm64"): "aarch64-pc-windows-msvc",
    ("linux", "x64"): "x86_64-manylinux_2_28",
    ("linux", "arm64"): "aarch64-manylinux_2_28",
}
_LONGEST = 1800  # seconds


class Unresolved(Exception):
    """uv found no solution, or no index. `text` is what it printed, without colors."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True)
class IndexedWheel:
    """A wheel as an index lists it. `url` is "" if the index is a folder, and `size` None if the index does not say it."""

    file: str
    sha256: str
    url: str
    size: int | None


@dataclass(frozen=True)
class Wheels:
    """A package in one version, and the (file name, SHA-256) of each of its wheels. `files` are the same wheels with their URLs."""

    name: str
    version: str
    wheels: tuple[tuple[str, str], ...]
    files: tuple[IndexedWheel, ...] = ()


@dataclass(frozen=True)
class Uv:
    """`index_url` is the only index, and `login` its login as in a URL; without it, uv uses its own configuration and that of the environment.

    `authorities` are files with CA certificates in PEM to trust in addition to those of the system.
    """

    program: str
    index_url: str | None = None
    constraints: tuple[str, ...] = ()
    login: str = field(default="", repr=False)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    authorities: tuple[Path, ...] = ()

    def resolve(
        self,
        packages: Iterable[str],
        kind: LockKind,
        *,
        keep: Mapping[str, str] | None = None,
        upgrade: Iterable[str] = (),
        refresh: bool = False,
        dependencies: bool = True,
    ) -> list[Wheels]:
        """Return the packages for hosts of a kind whose Python is known. Raises Unresolved.

        `keep` are versions that are preferred as long as they fit, but not for the names in `upgrade`.
        With `refresh`, the index is asked again for what uv has in its cache.
        """
        with tempfile.TemporaryDirectory(prefix="nbserver-lock-") as folder:
            scratch = Path(folder)
            (scratch / "packages.in").write_text("".join(f"{one}\n" for one in packages), "utf-8")
            (scratch / "constraints.txt").write_text("".join(f"{one}\n" for one in self.constraints), "utf-8")
            found = scratch / "pylock.toml"
            if keep:
                found.write_text(_kept(keep), "utf-8")
            command = [self.program, "pip", "compile", "packages.in", "--constraints", "constraints.txt", "--quiet", "--color", "never"]
            command += [
                "--format",
                "pylock.toml",
                "--output-file",
                found.name,
                "--no-header",
                "--only-binary",
                ":all:",
                "--no-python-downloads",
            ]
            command += [
                "--python",
                sys.executable,
                "--python-platform",
                _PLATFORMS[kind.system, kind.architecture],
                "--python-version",
                kind.python,
            ]
            command += [argument for name in upgrade for argument in ("--upgrade-package", name)]
            command += [*([] if dependencies else ["--no-deps"]), *(["--refresh"] if refresh else [])]
            command += ["--no-config"] if self.index_url else []
            self._run(command, scratch)
            return _read(found)

    def _run(self, command: list[str], folder: Path) -> None:
        own = {"UV_NO_PROGRESS": "1", "UV_SYSTEM_CERTS": "1"}
        if self.index_url:  # in a variable, because everybody can read arguments
            scheme, _, rest = self.index_url.partition("://")
            own["UV_DEFAULT_INDEX"] = f"{scheme}://{self.login}@{rest}" if self.login else self.index_url
        if self.authorities:  # uv takes only one file, in place of the system's
            trusted = folder / "authorities.pem"
            trusted.write_text(system_authorities.pem() + "".join(map(_certificates, self.authorities)), "ascii")
            own["SSL_CERT_FILE"] = str(trusted)
        given = {
            name: value for name, value in self.environment.items() if not (self.index_url and "INDEX" in name and name.startswith("UV_"))
        }
        try:
            done = subprocess.run(command, cwd=folder, env={**given, **own}, capture_output=True, timeout=_LONGEST, check=False)
        except subprocess.TimeoutExpired:
            raise Unresolved("error: uv did not finish") from None
        if done.returncode != 0:
            printed = done.stderr.decode("utf-8", "replace")[:20_000].replace(f"{self.login}@" if self.login else "\0", "").splitlines()
            raise Unresolved("\n".join(clean(line) for line in printed))


def _certificates(path: Path) -> str:
    from nbserver.catalog.publisher.download import read_authorities

    read_authorities(path)
    return path.read_text("ascii", "ignore") + "\n"


def find() -> str:
    """Return the path of uv: of the Python package, or else on PATH. Raises UsageError."""
    folders = dict.fromkeys((Path(sys.executable).parent, *map(Path, _script_folders())))
    found = next(filter(None, (program_output.search(str(folder / "uv")) for folder in folders)), None) or program_output.search("uv")
    if found is None:
        raise UsageError("uv-missing", "this command requires uv, which is not installed", todo='Run: pip install "nbserver[lock]"')
    return found


def _script_folders() -> Iterator[str]:
    """Yield where pip puts programs, for all users and for this one. On Windows, it is not the folder of Python, and often not on PATH."""
    yield sysconfig.get_path("scripts")
    yield sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))


def _kept(keep: Mapping[str, str]) -> str:
    """Return the least that uv reads as an earlier result."""
    import tomlkit

    packages: Any = [{"name": name, "version": version} for name, version in sorted(keep.items())]
    return tomlkit.dumps({"lock-version": "1.0", "created-by": "nbserver", "packages": packages})


def _read(path: Path) -> list[Wheels]:
    import tomllib

    found = []
    for package in tomllib.loads(path.read_text("utf-8")).get("packages", []):
        files = tuple(map(_wheel, package.get("wheels", [])))
        found.append(Wheels(package["name"], package["version"], tuple((one.file, one.sha256) for one in files), files))
    return found


def _wheel(entry: dict[str, Any]) -> IndexedWheel:
    url, size = str(entry.get("url", "")), entry.get("size")
    name = entry.get("name") or (unquote(urlsplit(url).path) or str(entry["path"])).rpartition("/")[2]  # + is %2B in a URL
    return IndexedWheel(str(name), str(entry["hashes"]["sha256"]), url, size if type(size) is int and size > 0 else None)
