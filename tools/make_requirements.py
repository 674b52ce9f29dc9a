"""Makes requirements.lock: what nbserver needs, for Python 3.11 and newer on Linux, macOS, and Windows, with hashes.

    python tools/make_requirements.py

Needs `uv`, which uses the package index that it is configured for. The lock names no index. Read the difference in git before
you commit it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
HEADER = """\
# Made by tools/make_requirements.py from the dependencies in setup.cfg. Install nbserver's wheel after it, with --no-deps.
"""


def main() -> None:
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        sys.exit("make_requirements: uv is not installed beside this Python or on PATH")
    command = [uv, "pip", "compile", "setup.cfg", "--universal", "--generate-hashes", "--python-version", "3.11", "--no-header"]
    command += ["--no-annotate", "--no-emit-index-url", "--quiet"]
    made = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if made.returncode != 0:
        sys.exit(f"make_requirements: failed: {' '.join(command)}")
    LOCK.write_bytes(HEADER.encode("ascii") + made.stdout)
    print(f"{LOCK}: {made.stdout.count(b'==')} packages")


if __name__ == "__main__":
    main()
