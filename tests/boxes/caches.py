"""Makes everything that the machines in a box keep in the tests' cache, before any of them starts: `python -m tests.boxes.caches`.

A mirror that fetches wheels while a host waits for them, or a base that is made while three workers want it, is slow where it is
not wrong. What is there already takes no time.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.boxes import artifacts, windows_desktop, windows_image
from tests.boxes.linux.base import DEBIAN, build
from tests.boxes.linux.lab import lacks
from tests.boxes.linux.suse import SUSE
from tests.boxes.linux.suse_repository import PROGRAMS
from tests.boxes.ssh import windows_workstation
from tests.boxes.windows_python import PYTHON_3_11
from tests.boxes.wine import PWSH_VARIABLE, WINE
from tests.checkout import SOURCE

LOCKS = SOURCE / "nbserver" / "catalog" / "data" / "locks"


def made(cache: Path) -> list[tuple[str, Callable[[], object]]]:
    """Name of each thing, and what makes it; it raises LookupError, with what this machine lacks."""
    return [
        ("wheels of Windows hosts", lambda: artifacts.wheels(cache, LOCKS / "windows-x64-python3.11.txt")),
        ("CPython for Windows", lambda: PYTHON_3_11.small(cache)),
        ("an MSI of OpenSSL", lambda: artifacts.openssl_msi(cache)),
        ("packages of a Windows desktop", lambda: there(windows_desktop.missing()) or windows_desktop._packages(cache)),
        ("packages of a Windows workstation", lambda: there(windows_workstation.missing()) or windows_workstation.packages(cache)),
        ("Windows of the hosts", lambda: there(lacks_windows()) or windows_image.image()),
        ("Windows of single scripts", lambda: there(lacks_windows()) or windows_image.scripts_windows()),
        ("wheels of Linux hosts", lambda: artifacts.linux_wheels(cache, LOCKS / "linux.txt")),
        ("Debian", lambda: there(lacks()) or build(cache, DEBIAN)),
        ("an openSUSE-like system", lambda: there(lacks() or lacks(PROGRAMS)) or build(cache, SUSE)),
    ]


def lacks_windows() -> str:
    """What keeps a Windows from being made here, or an empty text."""
    if not os.access(WINE, os.X_OK):
        return f"a Windows needs {WINE} (Debian package wine64)"
    return "" if os.environ.get(PWSH_VARIABLE) else f"a Windows needs {PWSH_VARIABLE}, the program that runs PowerShell for Windows"


def there(missing: str | None) -> None:
    if missing:
        raise LookupError(missing)


def fill(things: list[tuple[str, Callable[[], object]]]) -> list[str]:
    """Makes them one after the other. A line for each: its seconds, or what is lacking."""
    said = []
    for name, make in things:
        began = time.monotonic()
        try:
            make()
        except LookupError as lacking:
            said.append(f"{name}: not made: {lacking}")
        else:
            said.append(f"{name}: {time.monotonic() - began:.0f} s")
    return said


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in fill(made(artifacts.cache_folder())))
