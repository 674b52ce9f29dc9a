"""A disk of a few megabytes that is really full when a test fills it: writing there ends with ENOSPC, which Wine tells as Windows does."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # a container's own, of 64 MB, where nothing may be mounted
SMALL = 256 << 20
MOUNTED = Path(__file__).parent / "mounted"  # in PYTHONPATH of an nbserver whose host has a small disk in one of its folders


class SmallDisk:
    """`folder` is on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, leave: int = 0) -> None:
        """Until this many bytes are left. Whoever writes there meanwhile may take what was counted as free: then it is counted again."""
        with self._filler.open("ab") as file:
            while (room := self._free() - leave) > 0:
                try:
                    os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size + room)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def _free(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)

    @contextmanager
    def in_place_of(self, place: Path) -> Iterator[Path]:
        """The folder `place` is on this disk, with a copy of what is in it. Afterwards it is as it was."""
        there, kept = self.folder / place.name, place.parent.parent / f"{place.name}.kept"  # not beside it: tests look there
        there.mkdir()
        if place.exists():
            place.rename(kept)
            shutil.copytree(kept, there, symlinks=True, dirs_exist_ok=True)
        place.symlink_to(there)
        try:
            yield there
        finally:
            self.make_room()
            place.unlink(missing_ok=True)
            shutil.rmtree(there)
            if kept.exists():
                kept.rename(place)


@contextmanager
def small_disk(size: int) -> Iterator[SmallDisk | None]:
    """A tmpfs of `size` bytes where this process may mount one, else the machine's shared memory if that is small; else None."""
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    mounted = (
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False).returncode
        == 0
    )
    try:
        if mounted:
            yield SmallDisk(folder)
        elif SHARED_MEMORY.is_dir() and os.statvfs(SHARED_MEMORY).f_blocks * os.statvfs(SHARED_MEMORY).f_frsize <= SMALL:
            with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as inside:
                yield SmallDisk(Path(inside))
        else:
            yield None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()
