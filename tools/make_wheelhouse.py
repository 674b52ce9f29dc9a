"""Makes the wheelhouses of a release: all that pip needs to install nbserver without a package index, one zip per platform.

    python tools/make_wheelhouse.py [OUTPUT]

Builds the wheel as build_wheel.py does, and downloads the wheels of requirements.lock with pip, each with a hash of the lock.
Then uv resolves the installation from these files alone, for each Python. The zip has the same bytes whenever it is made
from the same wheels.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "installer")]

from nbserver.catalog import lock_conditions  # noqa: E402
from nbserver.catalog.resolver import uv  # noqa: E402
from tools import build_wheel  # noqa: E402

LOCK = ROOT / "requirements.lock"
LOCK_NAME, SUMS, README = "requirements.lock", "SHA256SUMS", "README.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
INSTALL = "pip install --no-index --find-links . --require-hashes -r requirements.lock"
_PIN = re.compile(
    r"^(?P<pin>[^\s;#]+==[^\s;]+)(?: ; (?P<marker>[^\\\n]+?))?(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE
)


@dataclass(frozen=True)
class Platform:
    """A kind of workstation. `tags` are the platforms of wheels that it installs, the preferred ones first."""

    name: str
    system: str
    uv_name: str
    tags: tuple[str, ...]
    environment: str


PLATFORMS = (
    Platform("win_amd64", "windows", "x86_64-pc-windows-msvc", ("win_amd64",), f"py -m venv .venv; .venv\\Scripts\\{INSTALL}"),
    Platform(
        "manylinux_x86_64",
        "linux",
        "x86_64-manylinux_2_28",
        ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux1_x86_64", "manylinux_2_5_x86_64", "manylinux_2_28_x86_64"),
        f"python3 -m venv .venv && .venv/bin/{INSTALL}",
    ),
)


def main() -> None:
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "dist").absolute()
    wheel = build_wheel.build_commit(output)
    for platform in PLATFORMS:
        made = make(LOCK.read_text("ascii"), wheel, platform, output, PYTHONS)
        print(f"{hashlib.sha256(made.read_bytes()).hexdigest()}  {made}")


def make(lock: str, wheel: Path, platform: Platform, output: Path, pythons: Sequence[str]) -> Path:
    """Write the wheelhouse of a lock and the wheel of nbserver into the folder `output`, and return the path of the zip."""
    version = wheel.name.split("-")[1]
    name = f"nbserver-{version}-{platform.name}"
    with tempfile.TemporaryDirectory() as folder:
        house = Path(folder, "wheelhouse")
        house.mkdir()
        for python in pythons:
            _download(lines(lock, platform.system, python), platform, python, house)
        (house / wheel.name).write_bytes(wheel.read_bytes())
        (house / LOCK_NAME).write_text(whole(lock, wheel), "ascii", newline="\n")
        about = f"nbserver {version} for {platform.name}, with Python {pythons[0]} to {pythons[-1]}. To install it without a network, run in this folder:"
        (house / README).write_text(f"{about}\n\n    {platform.environment}\n", "ascii", newline="\n")
        for python in pythons:
            _require_complete(house, platform, python)
        (house / SUMS).write_text("".join(_sums(house)), "ascii", newline="\n")
        return _packed(house, output / f"{name}.zip", name)


def lines(lock: str, system: str, python: str) -> list[str]:
    """Return the lines of a lock that apply to a Python such as "3.13" on x64, without their conditions. Exits for other lines."""
    other = [line for line in _PIN.sub("", lock).splitlines() if line and not line.startswith("#")]
    if other:
        sys.exit(f"make_wheelhouse: not a pin with hashes: {other[0]}")
    among = lock_conditions.environments(system, "x64", [python])
    found = []
    for match in _PIN.finditer(lock):
        marker = Marker(match["marker"]) if match["marker"] else None
        if any(lock_conditions.where(marker, among)):
            found.append(match["pin"] + match["hashes"].replace("\\\n   ", ""))
    return found


def whole(lock: str, wheel: Path) -> str:
    """Return the lock with nbserver itself in it."""
    pins = "".join(f"{match[0]}\n" for match in _PIN.finditer(lock))
    return f"{pins}nbserver=={wheel.name.split('-')[1]} \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def _download(pins: Sequence[str], platform: Platform, python: str, house: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text("\n".join(pins) + "\n", "ascii")
        options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
        options += [word for tag in platform.tags for word in ("--platform", tag)]
        _run(
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--disable-pip-version-check",
            *options,
            "-r",
            str(requirements),
            "-d",
            str(house),
        )


def _require_complete(house: Path, platform: Platform, python: str) -> None:
    """Exit unless the wheelhouse has all that an installation for this Python needs."""
    options = ["--no-config", "--offline", "--no-index", "--find-links", ".", "--require-hashes", "--only-binary", ":all:"]
    options += [
        "--python",
        sys.executable,
        "--python-platform",
        platform.uv_name,
        "--python-version",
        python,
        "--target",
        str(house.with_name("unused")),
    ]
    _run(uv.find(), "pip", "install", "--dry-run", "--quiet", *options, "-r", LOCK_NAME, cwd=house)


def _sums(house: Path) -> Iterator[str]:
    for path in sorted(house.iterdir()):
        yield f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"


def _packed(house: Path, target: Path, name: str) -> Path:
    """Write the zip: sorted, not compressed, and without the times and modes of the files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as packed:
        for path in sorted(house.iterdir()):
            entry = zipfile.ZipInfo(f"{name}/{path.name}")
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            packed.writestr(entry, path.read_bytes())
    return target


def _run(*command: str, cwd: Path | None = None) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    if subprocess.run(command, cwd=cwd, env=environment, check=False).returncode != 0:
        sys.exit(f"make_wheelhouse: failed: {' '.join(command)}")


if __name__ == "__main__":
    main()
