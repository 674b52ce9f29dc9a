"""Makes a lock file of the Windows catalog: every package of the notebook server, pinned to one wheel by its SHA-256.

    python tools/make_lock.py --python 3.13 --wheels DIRECTORY

Needs `uv` and `pip`; both use the package index and the certificates that they are configured for (UV_DEFAULT_INDEX,
PIP_INDEX_URL, SSL_CERT_FILE, ...). How it works:

1. uv resolves the packages for Windows and that Python, wheels only, and lists the index's hashes of every file.
2. pip downloads one wheel a package for that Python and platform, and checks it against those hashes.
3. The lock keeps the hash of exactly that wheel. pip then checks the finished lock against the folder, offline.

Look at the difference in git before committing: a new lock is new code on every host.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("numpy", "matplotlib", "tornado", "pyzmq", "ipython", "ipykernel", "notebook>=7", "uv")
CERTIFICATES = "cryptography"  # makes the certificate in user scope, which Python 3.8 has not: nbserver runs on 3.10 and newer
PLATFORMS = {"x64": ("x86_64-pc-windows-msvc", "win_amd64"), "arm64": ("aarch64-pc-windows-msvc", "win_arm64")}
LOCKS = Path(__file__).resolve().parent.parent / "installer" / "nbserver" / "catalog" / "data" / "locks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", required=True, metavar="X.Y", help="the Python on the hosts, such as 3.13")
    parser.add_argument("--architecture", choices=sorted(PLATFORMS), default="x64")
    parser.add_argument("--wheels", type=Path, metavar="DIRECTORY", help="keep the downloaded wheels here")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: the catalog's own lock")
    options = parser.parse_args()
    output = options.output or LOCKS / f"windows-{options.architecture}-python{options.python}.txt"
    target, tag = PLATFORMS[options.architecture]
    with tempfile.TemporaryDirectory() as scratch:
        resolved = resolve(options.python, target, Path(scratch))
        wheels = options.wheels or Path(scratch, "wheels")
        wheels.mkdir(parents=True, exist_ok=True)
        download(resolved, wheels, options.python, tag)
        lines = [lock_line(name, version, wheels) for name, version in pins(resolved.read_text("ascii"))]
        today = datetime.datetime.now(datetime.UTC).date()
        header = [
            f"# Windows {options.architecture}, Python {options.python}; made by tools/make_lock.py on {today}.",
            "# One line a package: the hash is that of the one wheel that fits.",
        ]
        made = Path(scratch, "lock.txt")
        made.write_text("\n".join([*header, *lines, ""]), "ascii", newline="\n")
        download(made, wheels, options.python, tag, "--no-index", "--find-links", str(wheels))
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, output)
    print(f"{output}: {len(lines)} packages")


def resolve(python: str, target: str, scratch: Path) -> Path:
    """Return a requirements file: exact versions, each with every hash that the index lists."""
    wanted = scratch / "packages.txt"
    packages = PACKAGES if python == "3.8" else (*PACKAGES, CERTIFICATES)
    wanted.write_text("\n".join(packages) + "\n", "ascii")
    resolved = scratch / "resolved.txt"
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        sys.exit("make_lock: uv is not installed beside this Python or on PATH")
    run(
        [
            *(uv, "--no-config", "pip", "compile", str(wanted), "--output-file", str(resolved), "--quiet"),
            *("--python-platform", target, "--python-version", python, "--only-binary", ":all:"),
            *("--generate-hashes", "--no-header", "--no-annotate"),
        ]
    )
    return resolved


def download(requirements: Path, wheels: Path, python: str, tag: str, *more: str) -> None:
    run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(wheels)),
            *("--no-deps", "--require-hashes", "--requirement", str(requirements)),
            *("--only-binary", ":all:", "--platform", tag, "--python-version", python, *more),
        ]
    )


def run(command: list[str]) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(f"make_lock: failed: {' '.join(command)}")


def pins(resolved: str) -> list[tuple[str, str]]:
    """Return (name, version), sorted by name, of a requirements file as uv writes it."""
    found = re.findall(r"^([a-z0-9-]+)==([^\s;]+)(.*)$", resolved, re.MULTILINE)
    for name, version, rest in found:
        if ";" in rest:
            sys.exit(f"make_lock: {name}=={version} has a condition, which a lock line cannot hold")
    return sorted((name, version) for name, version, _ in found)


def lock_line(name: str, version: str, wheels: Path) -> str:
    def normal(text: str) -> str:
        return re.sub(r"[-_.]+", "-", text).lower()

    fitting = [f for f in wheels.glob("*.whl") if [normal(p) for p in f.name.split("-")[:2]] == [normal(name), normal(version)]]
    if len(fitting) != 1:
        sys.exit(f"make_lock: {name}=={version}: expected one wheel in {wheels}, found {[f.name for f in fitting]}")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(fitting[0].read_bytes()).hexdigest()}"


if __name__ == "__main__":
    main()
