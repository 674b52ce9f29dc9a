"""Makes the lock of Linux hosts: every package of the notebook server, for Python 3.10 to 3.14, x86_64 and aarch64, glibc.

    python tools/make_linux_lock.py

Needs `uv`, which uses the package index and the certificates that it is configured for. How it works:

1. uv resolves the packages for all of these at once (universal), wheels only, and writes a pylock.toml: each package with
   the condition under which it is installed, and each of its wheels with the index's SHA-256.
2. The lock keeps the hashes of the wheels that such a host can install, and no other.

Look at the difference in git before committing: a new lock is new code on every host.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import tomlkit

PACKAGES = ("numpy", "matplotlib", "tornado", "pyzmq", "ipython", "ipykernel", "notebook", "cryptography", "uv")
OLDEST, BEYOND = "3.10", "3.15"
LOCK = Path(__file__).resolve().parent.parent / "installer" / "nbserver" / "catalog" / "data" / "locks" / "linux.txt"
WHERE = f"sys_platform == 'linux' and python_full_version < '{BEYOND}'"
# True wherever the lock is used; uv says it of every package.
ALWAYS = {"sys_platform == 'linux'", f"python_full_version >= '{OLDEST}'", f"python_full_version < '{BEYOND}'"}
WHEEL = re.compile(
    r"-(py3|py2\.py3|cp3\d+)(\.[a-z0-9.]+)?-(none|abi3|cp31[0-4]|cp3\d\.[a-z0-9.]*abi3)-(any|\S*manylinux\S*_(x86_64|aarch64))\.whl$"
)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        packages = tomlkit.parse(resolve(Path(scratch)).read_text("utf-8")).unwrap()["packages"]
    lines = sorted(lock_line(package) for package in packages)
    today = datetime.datetime.now(datetime.UTC).date()
    header = [
        f"# Linux with glibc, x86_64 and aarch64, Python {OLDEST} up to, but without, {BEYOND}; made by tools/make_linux_lock.py on {today}.",
        "# One line a package and condition: the hashes are those of the wheels that such a host can install.",
    ]
    LOCK.write_text("\n".join([*header, *lines, ""]), "ascii", newline="\n")
    print(f"{LOCK}: {len(lines)} lines")


def resolve(scratch: Path) -> Path:
    project = tomlkit.document()
    project["project"] = {"name": "lock", "version": "0", "requires-python": f">={OLDEST}", "dependencies": list(PACKAGES)}
    project["tool"] = {"uv": {"environments": [WHERE]}}
    (scratch / "pyproject.toml").write_text(tomlkit.dumps(project), "utf-8")
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        sys.exit("make_linux_lock: uv is not installed beside this Python or on PATH")
    command = [uv, "pip", "compile", "pyproject.toml", "--universal", "--quiet", "--no-header", "--no-annotate"]
    command += ["--only-binary", ":all:", "--python-version", OLDEST, "--format", "pylock.toml", "--output-file", "pylock.toml"]
    if subprocess.run(command, cwd=scratch, check=False).returncode != 0:
        sys.exit(f"make_linux_lock: failed: {' '.join(command)}")
    return scratch / "pylock.toml"


def lock_line(package: dict[str, Any]) -> str:
    name, version = package["name"], package["version"]
    hashes = sorted({wheel["hashes"]["sha256"] for wheel in package["wheels"] if WHEEL.search(file_name(wheel))})
    if not hashes:
        sys.exit(f"make_linux_lock: {name}=={version} has no wheel for Linux: {[file_name(wheel) for wheel in package['wheels']]}")
    condition = condition_of(str(package.get("marker", "")))
    return f"{name}=={version}{condition}" + "".join(f" --hash=sha256:{digest}" for digest in hashes)


def file_name(wheel: dict[str, Any]) -> str:
    return str(wheel.get("name") or wheel["url"].rpartition("/")[2])


def condition_of(marker: str) -> str:
    """The marker without what is always so, in double quotes, so that a line can stand in single ones."""
    parts = [part for part in marker.split(" and ") if part not in ALWAYS]
    if any(" or " in part or "(" in part for part in parts):
        parts = [marker]
    return f" ; {' and '.join(parts)}".replace("'", '"') if parts != [""] and parts else ""


if __name__ == "__main__":
    main()
