"""This machine as a Windows one, in a box: CPython for Windows, this checkout, and PowerShell where Windows has it.

What is run there is nbserver itself; in place of Windows PowerShell stands PowerShell 7 (powershell.c).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import zipfile
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

from tests.boxes import artifacts, windows_powershell
from tests.boxes.marked_process import WINE_OWN
from tests.boxes.windows import WindowsBox
from tests.boxes.windows_powershell import put_powershell
from tests.boxes.windows_python import PYTHON_3_11
from tests.boxes.wine import LAST_WORDS, PWSH_VARIABLE, WINE, environment, windows_path
from tests.checkout import CHECKOUT, SOURCE

PYTHON = r"C:\users\{user}\AppData\Local\Programs\Python\Python311"


def missing() -> str:
    """What keeps it from being made here, or an empty text."""
    if not os.access(WINE, os.X_OK):
        return f"a Windows desktop needs {WINE} (Debian package wine64)"
    if not os.environ.get(PWSH_VARIABLE):
        return f"a Windows desktop needs {PWSH_VARIABLE}, the program that runs PowerShell for Windows"
    if words := windows_powershell.missing():
        return words
    return ""


def _packages(cache: Path) -> Path:
    """A folder with what nbserver imports, for Windows and Python 3.11, in the versions that the tests run with."""
    settings = ConfigParser()
    settings.read(CHECKOUT / "setup.cfg")
    names = [line.replace("[", " [").split()[0] for line in settings["options"]["install_requires"].split("\n") if line]
    requirements = [f"{name}=={version(name)}" for name in (*names, "argon2-cffi")]
    return artifacts.windows_packages(cache, "desktop", requirements)


@dataclass(frozen=True)
class Done:
    """How a program ended there."""

    code: int
    out: str
    err: str


class WindowsDesktop:
    """`python` runs CPython there, `start` does not wait; `host` is the Windows, `close` ends its processes."""

    def __init__(self, prefix: Path) -> None:
        cache = artifacts.cache_folder()
        self.host = WindowsBox.create(prefix)
        self.user = next(path.name for path in (prefix / "drive_c" / "users").iterdir() if path.name != "Public")
        self.folder = PYTHON.format(user=self.user)
        with zipfile.ZipFile(PYTHON_3_11.whole(cache)) as archive:
            archive.extractall(self.host.path(self.folder))
        self._packages = _packages(cache)
        put_powershell(self.host)

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        own = {
            "PYTHONPATH": f"{windows_path(SOURCE)};{windows_path(CHECKOUT)};{windows_path(self._packages)}",
            "PYTHONUTF8": "1",
        }
        return environment(self.host.prefix, {**own, **(extra or {})})

    def python(
        self, arguments: Sequence[str], *, extra: Mapping[str, str] | None = None, timeout: float = 300, folder: Path | None = None
    ) -> Done:
        """Runs Python there and waits for it. What it printed counts to its end: programs that it left behind keep the pipes open."""
        process = self.start(arguments, extra=extra, folder=folder)
        assert process.stdin and process.stdout and process.stderr
        said: list[list[bytes]] = [[], []]
        readers = [
            threading.Thread(target=_read, args=(stream, into), daemon=True)
            for stream, into in zip((process.stdout, process.stderr), said, strict=True)
        ]
        for reader in readers:
            reader.start()
        try:
            process.stdin.close()
            process.wait(timeout)
        finally:
            process.kill()
        for reader in readers:
            reader.join(LAST_WORDS)
        out, err = (b"".join(parts).decode("utf-8", "replace").replace("\r\n", "\n") for parts in said)
        return Done(process.returncode, out, err)

    def start(
        self, arguments: Sequence[str], *, extra: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts Python there, with pipes for its standard streams: without a console it needs them."""
        pipe = subprocess.PIPE
        command = [WINE, f"{self.folder}\\python.exe", *arguments]
        return subprocess.Popen(
            command,
            env=self.environment(extra),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=folder or self.host.folder,
            start_new_session=True,
        )

    def nbserver(self, *arguments: str, extra: Mapping[str, str] | None = None, timeout: float = 300, folder: Path | None = None) -> Done:
        """Runs a command of nbserver there."""
        return self.python(["-m", "nbserver", *arguments], extra=extra, timeout=timeout, folder=folder)

    def command_lines(self) -> list[str]:
        """Those of the programs that run there now, but for Wine's own."""
        found = []
        mark = f"WINEPREFIX={self.host.prefix}\0".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                line = (process / "cmdline").read_bytes()
                if mark in (process / "environ").read_bytes() and line and not WINE_OWN.search(line):
                    found.append(line.replace(b"\0", b" ").decode("utf-8", "replace"))
        return found

    def close(self) -> None:
        self.host.close()


def _read(stream: IO[bytes], into: list[bytes]) -> None:
    into.extend(iter(lambda: os.read(stream.fileno(), 65536), b""))
