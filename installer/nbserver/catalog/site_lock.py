"""A site lock: a requirements file with hashes, and the lines of it that a host gets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nbserver.base.errors import ApprovalError, CatalogError
from nbserver.base.message import Described, message
from nbserver.catalog import lock_conditions, lock_lines
from nbserver.catalog.entries import Lock
from nbserver.catalog.linux_lock import LinuxLock
from nbserver.catalog.requirement_lines import Pinned, read
from nbserver.settings.faults import in_file
from nbserver.settings.working_file import WorkingFile

NEEDED = ("cryptography", "ipykernel", "ipython", "matplotlib", "notebook", "numpy", "pyzmq", "tornado", "uv")
"""What the server, its certificate, and verify use. Each lock has these packages."""
_WITHOUT_CRYPTOGRAPHY = ("3.8",)  # which nbserver itself does not support, so there is no user scope
_OPTIONAL_FOR_PIP = "uv"


def needed(python: str) -> list[str]:
    """Return the names that a lock for this branch of Python must have."""
    return [name for name in NEEDED if not (name == "cryptography" and python in _WITHOUT_CRYPTOGRAPHY)]


@dataclass(frozen=True)
class SiteLock:
    """`name` is how messages name the file; `file_sha256` is over all its bytes, and `text` all of it."""

    name: str
    packages: tuple[Pinned, ...]
    file_sha256: str
    text: str

    @classmethod
    def load(cls, path: Path) -> SiteLock:
        """Read a lock. Raises CatalogError with file and line for every fault, and ApprovalError if others may write to it."""
        try:
            content = WorkingFile(path, ApprovalError).read_bytes()
        except OSError as reason:
            raise CatalogError(
                "site-lock-unreadable",
                "could not read the lock: {reason}",
                todo="Check that the file exists and that you can read it",
                where=str(path),
                reason=reason.strerror or type(reason).__name__,
            ) from None
        return cls.of(content, str(path))

    @classmethod
    def of(cls, content: bytes, name: str) -> SiteLock:
        text = content.decode("utf-8-sig", "replace")
        packages, wrong = read(text)
        if not packages and not wrong:
            wrong = [(1, message("lock-empty", "the file contains no packages"))]
        _raise(name, wrong)
        return cls(name, tuple(packages), hashlib.sha256(content).hexdigest(), text)

    def for_windows(self, architecture: str, python: str, *, with_uv: bool = True) -> Lock:
        """Return the lock for a Windows host with this version of Python. Raises CatalogError."""
        among = lock_conditions.environments("windows", architecture, [python])
        chosen = [one for one in self.packages if lock_conditions.where(one.marker, among)[-1]]
        self._require_all({one.name for one in chosen}, python, with_uv=with_uv)
        self._require_once([chosen])
        lines = tuple(sorted(f"{one.name}=={one.version}{_hashes(one)}" for one in chosen))
        return Lock(python, architecture, self.name, lines, lock_lines.digest(lines))

    def for_linux(self, architecture: str, python: str | None, *, with_uv: bool = True) -> LinuxLock:
        """Return the lock for a Linux host. Conditions stay if they depend on its Python, which only the host knows. Raises CatalogError."""
        known = python is not None and "." in python
        among = lock_conditions.environments("linux", architecture, [str(python)] if known else lock_conditions.LINUX_PYTHONS)
        lines, wrong = [], list[tuple[int, Described]]()
        applies = {one: lock_conditions.where(one.marker, among) for one in self.packages}
        for one, places in applies.items():
            if not any(places):
                continue
            condition = "" if all(places) else f" ; {one.marker}"
            line = f"{one.name}=={one.version}{condition}{_hashes(one)}"
            if lock_lines.package_of(line, conditions=True) is None:
                wrong.append(
                    (
                        one.line,
                        message(
                            "lock-condition",
                            "{name}: the condition contains characters that are not allowed in a script. Use a simpler condition",
                            name=one.name,
                        ),
                    )
                )
            lines.append(line)
        _raise(self.name, wrong)
        per_python = [[one for one, places in applies.items() if places[index]] for index in range(len(among))]
        for chosen, place in zip(per_python, among, strict=True):
            self._require_all({one.name for one in chosen}, place["python_version"], with_uv=with_uv)
        self._require_once(per_python)
        lines.sort()
        return LinuxLock(tuple(lines), lock_lines.digest(lines), self.file_sha256)

    def _require_all(self, names: set[str], python: str, *, with_uv: bool) -> None:
        branch = ".".join(python.split(".")[:2])
        missing = [name for name in needed(branch) if name not in names and (with_uv or name != _OPTIONAL_FOR_PIP)]
        if missing:
            raise CatalogError(
                "site-lock-incomplete",
                "the lock lacks packages that the notebook server needs on Python {version}: {packages}",
                where=self.name,
                todo="Add these packages to the requirements of the lock, and generate it again",
                version=branch,
                packages=", ".join(missing),
            )

    def _require_once(self, per_python: Iterable[Iterable[Pinned]]) -> None:
        wrong = list[tuple[int, Described]]()
        for chosen in per_python:
            seen: set[str] = set()
            for one in chosen:
                if one.name in seen:
                    wrong.append((one.line, message("package-twice", "{name} is listed twice", name=one.name)))
                seen.add(one.name)
        _raise(self.name, wrong)


def _hashes(one: Pinned) -> str:
    return "".join(f" --hash=sha256:{digest}" for digest in one.sha256)


def _raise(name: str, wrong: Iterable[tuple[int, Described]]) -> None:
    found = sorted(set(wrong), key=lambda fault: (fault[0], str(fault[1])))
    if found:
        raise CatalogError(
            "site-lock-invalid", "the lock is not valid: {faults}", where=f"{name}:{found[0][0]}", faults=in_file(name, found)
        )
