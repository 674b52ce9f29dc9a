"""Writes the license and the summary of every package of the locks, as its wheel states them, for the review page.

    python tools/make_package_facts.py [--wheels DIRECTORY]

Needs `pip` and `packaging`, and the package index that pip is configured for. Run it after make_lock.py, make_linux_lock.py, or make_science_locks.py.
One wheel of each version is downloaded, and pip checks it against the hashes of the lock; its METADATA is what is written down,
and nothing else. DIRECTORY keeps the wheels; what is there already is not downloaded again. What the file has of a version that
is still in a lock stays as it is, because a version's wheels never change.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from make_lock import LOCKS, PLATFORMS
from packaging.markers import Marker
from packaging.utils import canonicalize_name, canonicalize_version

FACTS = LOCKS.parent / "packages.json"
LINUX = [f"manylinux{name}_x86_64" for name in ("2014", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28", "_2_31", "_2_34")]
PYTHONS = ("3.13", "3.14", "3.12", "3.11", "3.10")  # of Linux hosts
LINE = re.compile(r"(?P<pin>[a-z0-9-]+==\S+)(?: ; (?P<condition>.+?))?(?P<hashes>( --hash=sha256:[0-9a-f]{64})+)")
LONGEST = 100  # of a License field; a longer one is a whole license


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheels", type=Path, metavar="DIRECTORY", help="keep the downloaded wheels here")
    options = parser.parse_args()
    known = json.loads(FACTS.read_text("ascii")) if FACTS.exists() else {}
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        wheels = options.wheels or Path(scratch)
        wheels.mkdir(parents=True, exist_ok=True)
        for lock in sorted(LOCKS.rglob("*.txt"), key=lambda path: ("arm64" in path.name, path)):  # whose versions are those of x64
            groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
            for line in filter(None, map(LINE.fullmatch, lock.read_text("ascii").splitlines())):
                if line["pin"] in found:
                    continue
                if line["pin"] in known:
                    found[line["pin"]] = known[line["pin"]]
                    continue
                groups.setdefault(target(lock, line["condition"]), []).append(f"{line['pin']}{line['hashes']}")
            for (python, tags), lines in groups.items():
                download(lines, wheels, python, tags)
                found |= {line.partition(" ")[0]: facts(metadata(line.partition(" ")[0], wheels)) for line in lines}
            print(f"{lock.name}: {len(found)} versions so far", flush=True)
    FACTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "ascii", newline="\n")


def target(lock: Path, condition: str | None) -> tuple[str, tuple[str, ...]]:
    """Return a Python and the platform tags for which a line of this lock is meant."""
    match = re.fullmatch(r"windows-(\w+)-python([\d.]+)", lock.stem)
    if match:
        return match[2], (PLATFORMS[match[1]][1],)
    for python in PYTHONS:
        where = {"python_version": python, "python_full_version": f"{python}.9", "platform_machine": "x86_64", "sys_platform": "linux"}
        if not condition or Marker(condition).evaluate(where):
            return python, tuple(LINUX)
    sys.exit(f"make_package_facts: no Python of {', '.join(PYTHONS)} meets {condition}")


def download(lines: list[str], wheels: Path, python: str, tags: tuple[str, ...]) -> None:
    requirements = wheels / "requirements.txt"
    requirements.write_text("\n".join([*lines, ""]), "ascii")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(wheels), "--find-links", str(wheels)]
    command += ["--no-deps", "--require-hashes", "--requirement", str(requirements), "--only-binary", ":all:"]
    command += ["--python-version", python, *(word for tag in tags for word in ("--platform", tag))]
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(f"make_package_facts: failed: {' '.join(command)}")


def metadata(pin: str, wheels: Path) -> Message:
    name, _, version = pin.partition("==")
    for wheel in sorted(wheels.glob("*.whl")):
        other, number = wheel.name.split("-")[:2]
        if canonicalize_name(other) == name and canonicalize_version(number) == canonicalize_version(version):
            with zipfile.ZipFile(wheel) as archive:
                inside = next(path for path in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", path))
                return HeaderParser().parsestr(archive.read(inside).decode("utf-8"))
    sys.exit(f"make_package_facts: {pin} has no wheel in {wheels}")


def facts(stated: Message) -> dict[str, str]:
    """Return the summary, the license, and the field of the metadata that states the license; "" where nothing does."""
    classifiers = [text.rpartition(" :: ")[2] for text in stated.get_all("Classifier", []) if text.startswith("License :: ")]
    fields = (
        ("License-Expression", one_line(stated.get("License-Expression"))),
        ("License", one_line(stated.get("License"))),
        ("Classifier", "; ".join(classifiers)),
    )
    field, text = next(((field, text) for field, text in fields if text), ("", ""))
    return {"license": text, "license_field": field, "summary": " ".join((stated.get("Summary") or "").split())}


def one_line(text: str | None) -> str:
    found = (text or "").strip()
    return "" if found.upper() == "UNKNOWN" or "\n" in found or len(found) > LONGEST else found


if __name__ == "__main__":
    main()
