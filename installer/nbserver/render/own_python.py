"""The Python that runs nbserver: on Windows a server in user scope is made from it, on Linux where the distribution's does not do."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from nbserver.base.errors import UsageError
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.entries import Lock
from nbserver.inventory.local_windows_host import own_architecture

PLATFORMS = ("win-amd64", "win-arm64")
STORE = "\\windowsapps\\"
NEEDED = "cryptography=="  # it makes the certificate


@dataclass(frozen=True)
class LocalPython:
    """`folder` is where python.exe is, absolute; `branch` is such as "3.13"; `lock` has the packages that fit."""

    folder: str
    branch: str
    lock: Lock


def own_program() -> str | None:
    """The program of the Python below the virtual environment that runs this, absolute; None where it has another name."""
    program = Path(sys.base_prefix, "bin", f"python{sysconfig.get_python_version()}")
    return str(program) if program.is_file() else None


def this_python(catalog: Catalog) -> LocalPython:
    """The one below the virtual environment that runs this. Raises UsageError where no server can be made from it."""
    folder, branch = sys.base_prefix.rstrip("\\"), sysconfig.get_python_version()
    what, todo = "", "Make another environment for nbserver, with a 64-bit Python of python.org or of uv"
    if sysconfig.get_platform() not in PLATFORMS:
        what = f"the Python that runs nbserver is one for {sysconfig.get_platform()}, and there are no packages for it"
    elif sys.implementation.name != "cpython":
        what = f"the Python that runs nbserver is {sys.implementation.name}, and the packages are for CPython"
    elif STORE in f"{folder}\\".lower():
        what = "the Python that runs nbserver is that of the Microsoft Store, which does not show its files to other programs"
    if what:
        raise UsageError(what, where=folder, todo=todo)
    architecture = own_architecture()
    locks = {
        lock.python: lock
        for lock in catalog.locks
        if lock.architecture == architecture and any(line.startswith(NEEDED) for line in lock.lines)
    }
    if branch not in locks:
        todo = f"Make another environment for nbserver, with a Python {', '.join(locks)}"
        raise UsageError(f"there are no packages for Python {branch}, which runs nbserver", where=folder, todo=todo)
    return LocalPython(folder, branch, locks[branch])
