"""A Windows workstation in a box: a Wine prefix with CPython for Windows and what the SSH transport imports there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.boxes import artifacts
from tests.boxes.windows_python import PYTHON_3_11
from tests.boxes.wine import WINE, end_wine, environment, start_wine, windows_path

COMPILER = "x86_64-w64-mingw32-gcc"
HERE = Path(__file__).parent
# The versions that the tests themselves run with, as wheels for Windows.
REQUIREMENTS = [f"{name}=={version(name)}" for name in ("asyncssh", "bcrypt", "cryptography", "pydantic")]


def missing() -> str:
    """What keeps it from being made here, or an empty text."""
    if not os.access(WINE, os.X_OK):
        return f"a Windows workstation needs {WINE} (Debian package wine64)"
    if not shutil.which(COMPILER):
        return f"a Windows workstation needs {COMPILER} (Debian package gcc-mingw-w64-x86-64)"
    return ""


def packages(cache: Path) -> Path:
    """A folder with the packages, for Windows and Python 3.11."""
    return artifacts.windows_packages(cache, "workstation", REQUIREMENTS)


class Workstation:
    """`run` runs one job of workstation.py there; `close` ends its processes."""

    def __init__(self, folder: Path) -> None:
        cache = artifacts.cache_folder()
        self._folder, self._prefix, self._packages = folder, folder / "prefix", packages(cache)
        with zipfile.ZipFile(PYTHON_3_11.whole(cache)) as archive:
            archive.extractall(folder / "python")
        start_wine(self._prefix)
        library = self._prefix / "drive_c" / "windows" / "system32" / "bcryptprimitives.dll"
        subprocess.run([COMPILER, "-shared", "-o", library, HERE / "bcryptprimitives.c", "-ladvapi32"], check=True)

    def run(self, job: dict[str, Any]) -> tuple[int, list[str]]:
        """Exit code and the lines that it printed."""
        file = self._folder / "job.json"
        file.write_text(json.dumps(job), "utf-8")
        extra = {"PYTHONPATH": windows_path(self._packages)}
        done = subprocess.run(
            [WINE, self._folder / "python" / "python.exe", windows_path(HERE / "workstation.py"), windows_path(file)],
            env=environment(self._prefix, extra),
            input=b"\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace").splitlines()

    def close(self) -> None:
        end_wine(self._prefix)
