"""Builds the wheel of a release, with the same bytes in any folder, at any time, and on any machine.

    python tools/build_wheel.py [OUTPUT]

Needs `uv` and a git checkout. The wheel has the files of the commit, and its date. The
version of setuptools is part of the wheel, and fixed here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETUPTOOLS = "setuptools==80.9.0"
SOURCES = ("installer", "ps_scripts", "linux_scripts", "setup.cfg", "pyproject.toml", "LICENSE", "README.md")


def main() -> None:
    wheel = build_commit(Path(sys.argv[1] if len(sys.argv) > 1 else "dist").absolute())
    print(f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel}")


def build_commit(output: Path) -> Path:
    """Build the wheel of the commit that is checked out into the folder `output`, and return its path."""
    seconds = _git("log", "-1", "--format=%ct").decode().strip()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "source.tar")
        archive.write_bytes(_git("archive", "HEAD", *SOURCES))
        shutil.unpack_archive(archive, Path(folder, "source"), filter="data")
        return build(Path(folder, "source"), output, int(seconds))


def build(source: Path, output: Path, seconds: int) -> Path:
    """Build the wheel of the folder `source`, which is not changed, with the date `seconds` since 1970. Returns its path."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        sys.exit("build_wheel: uv is not installed beside this Python or on PATH")
    with tempfile.TemporaryDirectory() as folder:
        copy, made = Path(folder, "source"), Path(folder, "made")
        constraints = Path(folder, "constraints.txt")
        constraints.write_text(SETUPTOOLS + "\n", "ascii")
        copy.mkdir()
        for path in sorted(found for name in SOURCES for found in [source / name, *(source / name).rglob("*")] if found.is_file()):
            if "__pycache__" not in path.parts and not any(part.endswith(".egg-info") for part in path.parts):
                (copy / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy / path.relative_to(source))
        for path in copy.rglob("*"):  # the wheel keeps the modes
            path.chmod(0o755 if path.is_dir() else 0o644)
        command = [
            uv,
            "build",
            "--wheel",
            "--quiet",
            "--python",
            sys.executable,
            "--build-constraints",
            str(constraints),
            "--out-dir",
            str(made),
            str(copy),
        ]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(seconds)}
        if subprocess.run(command, env=environment, umask=0o022, check=False).returncode != 0:
            sys.exit(f"build_wheel: failed: {' '.join(command)}")
        (wheel,) = made.glob("*.whl")
        output.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, output))


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout


if __name__ == "__main__":
    main()
