"""A root file system of its own for a test: this machine's, or a host's base, under an overlay in memory, seen by nobody else.

What a script changes there is gone when the sandbox is closed; the files below are only read. Its /etc is a copy:
other tests make accounts on this machine meanwhile. It needs root, and is no machine: no systemd runs in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import pytest

MAKE = """\
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/up,workdir=$1/work" overlay "$1/root"
cp -a "$2/etc" "$1/etc" 2>/dev/null || true  # a file may go meanwhile
mount --bind "$1/etc" "$1/root/etc"
mount --rbind /dev "$1/root/dev"
mount -t proc proc "$1/root/proc"
mount -t tmpfs tmpfs "$1/root/tmp"
mount -t tmpfs tmpfs "$1/root/run"
echo made
read -r _ || true
"""


class Sandbox:
    """Use as a context manager. `base` is the root folder below the overlay. `root` is where its files are for a reader who enters it with `read` and `run`."""

    def __init__(self, folder: Path, base: Path = Path("/")) -> None:
        if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"):
            pytest.skip("a root file system of its own needs Linux, root's rights and unshare")
        folder.mkdir(parents=True, exist_ok=True)
        self.root = folder / "root"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "bash", "-c", MAKE, "sandbox", str(folder), str(base)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout
        if self._holder.stdout.readline() != b"made\n":
            self._holder.wait()
            pytest.skip("a root file system of its own needs a kernel that lays one over another (overlay, tmpfs)")

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._holder.kill()
        self._holder.wait()

    def command(self, *argv: str) -> list[str]:
        """The command that runs another one inside."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "chroot", str(self.root), *argv]

    def lay(self, source: Path, target: str) -> None:
        """A folder of this machine at `target` too, which need not be there. What is changed in it stays in the sandbox."""
        code = 'mkdir -p "$2" "$3/up" "$3/work" && mount -t overlay -o "lowerdir=$1,upperdir=$3/up,workdir=$3/work" overlay "$2"'
        folders = str(source.resolve()), f"{self.root}{target}", f"{self.root.parent}/laid{target}"
        subprocess.run(["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "bash", "-c", code, "lay", *folders], check=True)

    def run(self, *argv: str, input: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(self.command(*argv), input=input, capture_output=True, check=False, timeout=600)
        assert not check or done.returncode == 0, (argv, done.returncode, done.stdout, done.stderr)
        return done

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(*argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def write(self, path: str, text: str | bytes) -> None:
        self.run("dd", "status=none", f"of={path}", input=text.encode() if isinstance(text, str) else text)

    def read(self, path: str) -> bytes:
        return self.run("cat", path).stdout

    def exists(self, path: str) -> bool:
        return self.run("test", "-e", path, check=False).returncode == 0

    def access(self, path: str) -> str:
        return self.run("stat", "-c", "%U:%G %a", path).stdout.decode().strip()
