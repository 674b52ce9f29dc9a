"""The Python that runs nbserver. A server in user scope uses it on Windows, and on Linux if the distribution's Python is unsuitable."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from nbserver.base.errors import UsageError
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.entries import Lock
from nbserver.catalog.site_lock import SiteLock

PLATFORMS = ("win-amd64", "win-arm64")
STORE = "\\windowsapps\\"
OTHER_PYTHON = "Install nbserver in an environment with a 64-bit Python from python.org or uv"
NEEDED = "cryptography=="  # creates the certificate


@dataclass(frozen=True)
class LocalPython:
    """`folder` is the absolute path of the folder of python.exe, `branch` a version such as "3.13", `lock` the matching packages."""

    folder: str
    branch: str
    lock: Lock


def own_program() -> str | None:
    """Return the absolute path of the Python on which this virtual environment is based, or None if it is not named pythonX.Y."""
    program = Path(sys.base_prefix, "bin", f"python{sysconfig.get_python_version()}")
    return str(program) if program.is_file() else None


def this_python(catalog: Catalog, own: SiteLock | None = None, *, with_uv: bool = True) -> LocalPython:
    """Return the Python on which this virtual environment is based. Raises UsageError if a server cannot use it.

    `own` is the lock of the site, which has the packages for any version; `with_uv`: whether it must have uv.
    """
    folder, branch = sys.base_prefix.rstrip("\\"), sysconfig.get_python_version()
    if sysconfig.get_platform() not in PLATFORMS:
        raise UsageError(
            "own-python-platform",
            "the Python that runs nbserver is built for {platform}, for which there are no packages",
            where=folder,
            todo=OTHER_PYTHON,
            platform=sysconfig.get_platform(),
        )
    if sys.implementation.name != "cpython":
        raise UsageError(
            "own-python-not-cpython",
            "the Python that runs nbserver is {implementation}, but the packages require CPython",
            where=folder,
            todo=OTHER_PYTHON,
            implementation=sys.implementation.name,
        )
    if STORE in f"{folder}\\".lower():
        raise UsageError(
            "own-python-from-store",
            "the Python that runs nbserver is from the Microsoft Store, which hides its files from other programs",
            where=folder,
            todo=OTHER_PYTHON,
        )
    from nbserver.inventory.local_windows_host import own_architecture

    architecture = own_architecture()
    if own:
        return LocalPython(folder, branch, own.for_windows(architecture, branch, with_uv=with_uv))
    locks = {
        lock.python: lock
        for lock in catalog.locks
        if lock.architecture == architecture and any(line.startswith(NEEDED) for line in lock.lines)
    }
    if branch not in locks:
        raise UsageError(
            "own-python-version",
            "nbserver is running on Python {version}, but its catalog has no packages for that version",
            where=folder,
            todo="Install nbserver in an environment with one of these Python versions: {versions}",
            version=branch,
            versions=", ".join(locks),
        )
    return LocalPython(folder, branch, locks[branch])
