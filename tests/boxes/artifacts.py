"""What the mirror serves: real files, made once and kept in a cache folder.

CPython for Windows is in windows_python.py; OpenSSL is the zip in the folder that NBSERVER_TEST_WINDOWS names, and an MSI of it;
the wheels are those of a lock file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

CACHE_VARIABLE = "NBSERVER_TEST_CACHE"
WINDOWS_VARIABLE = "NBSERVER_TEST_WINDOWS"
OPENSSL_ZIP = "openssl-3.5.7-win64.zip"
OPENSSL_VERSION = "3.5.7"
LINUX_PYTHON = "3.11.2"  # of Debian 12
WXS = """<?xml version="1.0" encoding="utf-8"?>
<Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
 <Product Id="@PRODUCT@" Name="OpenSSL @VERSION@ (64-bit)" Language="1033" Version="@VERSION@"
          Manufacturer="Stand-in" UpgradeCode="5d8a52d3-6a0e-4b0e-9a3c-0f5a7d5b1c02">
  <Package InstallerVersion="200" Compressed="yes" InstallScope="perMachine"/>@UPGRADE@
  <Media Id="1" Cabinet="a.cab" EmbedCab="yes"/>
  <Directory Id="TARGETDIR" Name="SourceDir"><Directory Id="ProgramFiles64Folder"><Directory Id="INSTALLDIR" Name="OpenSSL">
   <Component Id="Licence" Guid="5d8a52d3-6a0e-4b0e-9a3c-0f5a7d5b1c03" Win64="yes">
    <File Id="licence" Name="LICENSE.txt" Source="LICENSE.txt" KeyPath="yes"/>
   </Component>
   <Directory Id="BIN" Name="bin">
    <Component Id="Program" Guid="5d8a52d3-6a0e-4b0e-9a3c-0f5a7d5b1c04" Win64="yes">
     <File Id="exe" Name="openssl.exe" Source="bin/openssl.exe" KeyPath="yes"/>
     <File Id="crypto" Name="libcrypto-3-x64.dll" Source="bin/libcrypto-3-x64.dll"/>
     <File Id="ssl" Name="libssl-3-x64.dll" Source="bin/libssl-3-x64.dll"/>
    </Component>
   </Directory>
  </Directory></Directory></Directory>
  <Feature Id="Main" Level="1"><ComponentRef Id="Licence"/><ComponentRef Id="Program"/></Feature>
 </Product>
</Wix>
"""
MAJOR_UPGRADE = '<MajorUpgrade DowngradeErrorMessage="A newer one is installed."/>'


def cache_folder() -> Path:
    """NBSERVER_TEST_CACHE, or a folder below the user's cache directory."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nbserver-tests"


def windows_folder() -> Path:
    """NBSERVER_TEST_WINDOWS. Raises LookupError when it is not set or has no OpenSSL."""
    named = os.environ.get(WINDOWS_VARIABLE, "")
    if not named or not (Path(named) / OPENSSL_ZIP).is_file():
        raise LookupError(f"{WINDOWS_VARIABLE} does not name a folder with {OPENSSL_ZIP}")
    return Path(named)


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """One maker at a time, over all processes."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def once(cache: Path, name: str, make: Callable[[Path, Path], None]) -> Path:
    """The file or folder `name` in the cache; `make(work folder, target)` makes it whole or not at all."""
    place = cache / name
    if not place.exists():
        with _locked(cache):
            if not place.exists():
                work = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
                try:
                    make(work, work / name)
                    (work / name).rename(place)
                finally:
                    shutil.rmtree(work, ignore_errors=True)
    return place


def _run(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(arguments, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout[-2000:]}")


def windows_packages(cache: Path, kind: str, requirements: Sequence[str]) -> Path:
    """A folder with the packages and what they need, for Windows and Python 3.11; `kind` begins its name in the cache."""

    def make(work: Path, target: Path) -> None:
        platform = ("--only-binary", ":all:", "--platform", "win_amd64", "--python-version", "3.11", "--implementation", "cp")
        pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check")
        _run(*pip, *platform, "--target", str(target), *requirements, cwd=work)

    return once(cache, f"{kind}-{hashlib.sha256(' '.join(requirements).encode()).hexdigest()[:12]}", make)


def install_packages(target: Path, requirements: Sequence[str]) -> None:
    """Puts the packages and what they need into a folder, for the Python of the tests."""
    _run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-compile",
        "--target",
        str(target),
        *requirements,
        cwd=target.parent,
    )


def pip_download(work: Path, requirements: str, *options: str) -> None:
    (work / "requirements.txt").write_text(requirements)
    _run(
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "--disable-pip-version-check",
        "-r",
        "requirements.txt",
        *options,
        cwd=work,
    )


def openssl_zip() -> Path:
    return windows_folder() / OPENSSL_ZIP


def openssl_product(version: str) -> str:
    """The ProductCode of such a package."""
    return str(uuid.uuid5(uuid.UUID("5d8a52d3-6a0e-4b0e-9a3c-0f5a7d5b1c01"), version))


def _openssl_msi_name(version: str, upgrades: bool) -> str:
    return f"openssl-{version}-win64-{openssl_product(version)[:8]}{'-upgrades' * upgrades}.msi"


OPENSSL_MSI = _openssl_msi_name(OPENSSL_VERSION, False)


def openssl_msi(cache: Path, version: str = OPENSSL_VERSION, *, upgrades: bool = False) -> Path:
    r"""An MSI that puts the same OpenSSL into %ProgramFiles%\OpenSSL. Raises LookupError without `wixl`.

    With another `version` the package and openssl.exe say that they are of it: a product of its own, with the same UpgradeCode and
    components. With `upgrades` it replaces an older one by itself, and refuses (1603) where a newer one is installed.
    """
    wixl = shutil.which("wixl")
    if not wixl:
        raise LookupError("wixl is not installed (Debian package wixl): it makes the MSI")
    product = openssl_product(version)

    def make(work: Path, target: Path) -> None:
        with zipfile.ZipFile(openssl_zip()) as archive:
            archive.extractall(work)
        folder = work / "OpenSSL-Win64"
        program = folder / "bin" / "openssl.exe"
        program.write_bytes(with_version(program.read_bytes(), version))
        (folder / "openssl.wxs").write_text(
            WXS.replace("@VERSION@", version).replace("@PRODUCT@", product).replace("@UPGRADE@", MAJOR_UPGRADE if upgrades else "")
        )
        _run(wixl, "-a", "x64", "-o", str(target), "openssl.wxs", cwd=folder)

    return once(cache, _openssl_msi_name(version, upgrades), make)


def with_version(program: bytes, version: str) -> bytes:
    """A Windows program with another number in its VS_FIXEDFILEINFO: behind the signature and the structure's version."""
    at = program.index(bytes.fromhex("bd04effe")) + 8
    major, minor, patch = map(int, version.split("."))
    return program[:at] + struct.pack("<HHHH", minor, major, 0, patch) + program[at + 8 :]


def wheels(cache: Path, lock: Path, python: str = "3.11") -> Path:
    """A folder with the wheels for Windows that a lock file names, their hashes checked; `python` is the lock's."""
    text = lock.read_text(encoding="utf-8")

    def make(work: Path, target: Path) -> None:
        put_windows_wheels(text, work, target, python)

    return once(cache, f"wheels-{hashlib.sha256(text.encode()).hexdigest()[:12]}", make)


def linux_wheels(cache: Path, lock: Path) -> Path:
    """The same of the lock of Linux hosts, for x86_64 and the Python of the Linux hosts in a box."""
    text = "\n".join(lines_for(lock.read_text(encoding="utf-8"), LINUX_PYTHON)) + "\n"

    def make(work: Path, target: Path) -> None:
        put_linux_wheels(text, work, target)

    return once(cache, f"wheels-{hashlib.sha256(text.encode()).hexdigest()[:12]}", make)


def put_windows_wheels(lock: str, work: Path, target: Path, python: str = "3.11") -> None:
    """Puts the wheels for Windows of a lock's text into a folder: those that it lacks."""
    pip_download(work, lock, "--only-binary", ":all:", "--platform", "win_amd64", "--python-version", python, "-d", str(target))


def put_linux_wheels(lock: str, work: Path, target: Path) -> None:
    """The same for the Linux hosts in a box; the lock's lines have no conditions."""
    systems = [word for system in ("2_28", "2_17", "2_5") for word in ("--platform", f"manylinux_{system}_x86_64")]
    systems += ["--platform", "manylinux2014_x86_64", "--platform", "manylinux1_x86_64"]
    pip_download(work, lock, "--only-binary", ":all:", *systems, "--python-version", LINUX_PYTHON[:4], "-d", str(target))


def lines_for(lock: str, python: str) -> list[str]:
    """The lines of a lock that count for that Python on Linux, without their conditions."""
    from packaging.markers import Marker

    environment = {"python_full_version": python, "implementation_name": "cpython", "platform_machine": "x86_64", "sys_platform": "linux"}
    found = []
    for line in lock.splitlines():
        pinned, _, hashes = line.partition(" --hash=")
        name, _, marker = pinned.partition(" ; ")
        if hashes and (not marker or Marker(marker).evaluate(environment)):
            found.append(f"{name} --hash={hashes}")
    return found


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
