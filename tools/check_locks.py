"""Checks that every lock of the Windows catalog is complete: what each wheel requires on that platform is in the lock too.

    python tools/check_locks.py [--wheels DIRECTORY]

Needs `pip` and `packaging`, and the package index that pip is configured for: all wheels are downloaded, about 200 MB a lock.
DIRECTORY keeps them, each lock's in a folder named after its file; what is there already is not downloaded again.

For each wheel, its Requires-Dist and Requires-Python are evaluated for the lock's Python on Windows. Whether the wheels are
those of the lock, pip has checked by their hashes.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from make_lock import LOCKS, PLATFORMS, download
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

MACHINES = {"x64": "AMD64", "arm64": "ARM64"}
LAST_PATCH = {"3.8": "3.8.10"}  # of the last installer; elsewhere any patch will do


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheels", type=Path, metavar="DIRECTORY", help="keep the downloaded wheels here")
    options = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        for lock in sorted(LOCKS.glob("windows-*.txt")):
            match = re.fullmatch(r"windows-(\w+)-python([\d.]+)\.txt", lock.name)
            if not match:
                sys.exit(f"check_locks: {lock.name} is not named after an architecture and a Python")
            architecture, python = match.groups()
            wheels = (options.wheels or Path(scratch)) / lock.stem
            wheels.mkdir(parents=True, exist_ok=True)
            download(lock, wheels, python, PLATFORMS[architecture][1], "--find-links", str(wheels))
            faults = list(missing(lock, wheels, architecture, python))
            print(f"{lock.name}: {'complete' if not faults else f'{len(faults)} faults'}", flush=True)
            wrong += [f"{lock.name}: {fault}" for fault in faults]
    print("\n".join(wrong))
    return int(bool(wrong))


def missing(lock: Path, wheels: Path, architecture: str, python: str) -> Iterator[str]:
    """What a wheel of the lock requires, and the lock does not have."""
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text("ascii"), re.MULTILINE))
    full = LAST_PATCH.get(python, f"{python}.9")
    environment = {
        "implementation_name": "cpython",
        "os_name": "nt",
        "platform_machine": MACHINES[architecture],
        "platform_python_implementation": "CPython",
        "platform_system": "Windows",
        "python_full_version": full,
        "python_version": python,
        "sys_platform": "win32",
    }
    seen = set()
    for wheel in sorted(wheels.glob("*.whl")):
        metadata = read_metadata(wheel)
        name = canonicalize_name(metadata["Name"])
        if pins.get(name) != metadata["Version"]:
            continue  # of an earlier lock
        seen.add(name)
        if full not in SpecifierSet(metadata["Requires-Python"] or ""):
            yield f"{name} requires Python {metadata['Requires-Python']}"
        for requirement in map(Requirement, metadata.get_all("Requires-Dist") or []):
            if requirement.marker and not requirement.marker.evaluate({**environment, "extra": ""}):
                continue
            version = pins.get(canonicalize_name(requirement.name))
            if version is None or version not in requirement.specifier:
                yield f"{name} requires {requirement}, and there is {version or 'none'}"
    yield from (f"no wheel of {name}=={pins[name]}" for name in sorted(pins.keys() - seen))


def read_metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return HeaderParser().parsestr(archive.read(name).decode("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
