"""powershell.exe of a Windows in a box, at its place: PowerShell 7, with the stand-ins in its sessions (powershell.c)."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.boxes.windows import WindowsBox
from tests.boxes.wine import windows_path

COMPILER = "x86_64-w64-mingw32-gcc"
PROGRAM = r"C:\windows\system32\WindowsPowerShell\v1.0\powershell.exe"
PWSH = r"C:\Program Files\PowerShell\7\pwsh.exe"
SETTINGS = r"C:\nbserver-test\powershell.txt"  # what powershell.c calls


def missing() -> str:
    """What keeps it from being made here, or an empty text."""
    return "" if shutil.which(COMPILER) else f"powershell.exe needs {COMPILER} (Debian package gcc-mingw-w64-x86-64)"


def put_powershell(host: WindowsBox) -> None:
    """Puts powershell.exe there."""
    program = host.path(PROGRAM)
    program.parent.mkdir(parents=True, exist_ok=True)
    program.unlink(missing_ok=True)
    subprocess.run([COMPILER, "-O", "-o", program, Path(__file__).with_name("powershell.c")], check=True)
    configure(host)


def configure(host: WindowsBox, configuration: Path | None = None) -> None:
    """Gives its sessions a configuration: by default, that with the stand-ins."""
    file = windows_path(configuration or host.folder / "task.pssc")
    host.path(SETTINGS).write_text(f'"{PWSH}" -ConfigurationFile "{file}"\n')


@contextlib.contextmanager
def powershell_on(host: WindowsBox) -> Iterator[None]:
    """The same for a while, on a host that other tests have as well."""
    before = host.path(PROGRAM).read_bytes() if host.path(PROGRAM).is_file() else None
    put_powershell(host)
    try:
        yield
    finally:
        host.path(SETTINGS).unlink()
        host.path(PROGRAM).unlink()
        if before is not None:
            host.path(PROGRAM).write_bytes(before)
