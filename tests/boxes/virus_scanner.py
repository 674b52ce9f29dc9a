r"""A virus scanner on a Windows host in a box: what is new in nbserver's folders cannot be renamed or replaced for a while.

Wine renames a folder with open files, so a scanner that only opened files would prevent nothing. This one mounts what is new on
itself, which a rename refuses: Windows programs see a lock violation, or a replacement that failed halfway. Only root can do that;
for others, nothing is held. What Windows cannot do meanwhile, it cannot do here either; writing goes on.

Held are files and folders whose names end with .new or .part, when a file is closed or a folder is made, each once for an
installation (until the state folder is new). A folder is held for two seconds longer than files are made in it, as by a scanner on a
server. A file is held for less: there are dozens in a run, and the tests have to be fast.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
import threading
import time
from pathlib import Path

FOLDER_SECONDS, FILE_SECONDS = 2.0, 0.3
PLACES = (Path("drive_c/ProgramData/nbserver"), Path("drive_c/Program Files/nbserver"))
NEW = (".new", ".part")
DEEPEST = 2  # folders below a place; what is deeper is a program's or a package's own
MS_BIND, MNT_DETACH = 0x1000, 2  # <sys/mount.h>
CLOSE_WRITE, CREATE, MOVED_TO, IS_DIR = 0x8, 0x100, 0x80, 0x40000000  # <sys/inotify.h>
EVENT = struct.Struct("iIII")

_libc = ctypes.CDLL(None, use_errno=True)


def hold(path: Path) -> None:
    """Makes it impossible to rename or remove `path`. Raises OSError."""
    if _libc.mount(os.fsencode(path), os.fsencode(path), None, MS_BIND, None):
        raise OSError(ctypes.get_errno(), "mount", str(path))


def release(path: Path) -> None:
    """Ends what `hold` began."""
    _libc.umount2(os.fsencode(path), MNT_DETACH)


def release_below(folder: Path) -> None:
    """Releases what a scanner that was killed held."""
    for line in Path("/proc/self/mounts").read_text("utf-8").splitlines():
        path = Path(line.split(" ")[1].replace("\\040", " "))
        if folder in path.parents:
            release(path)


class VirusScanner:
    """Scans the Windows at `prefix`, until `close`. `held` are all paths that it has held, in order."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.folder_seconds, self.file_seconds = FOLDER_SECONDS, FILE_SECONDS
        self.held: list[Path] = []
        self._until: dict[Path, float] = {}
        self._seen: set[Path] = set()
        self._folders: dict[int, tuple[Path, int]] = {}  # watch -> folder, and how deep it is
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if os.geteuid() or os.name != "posix":
            return
        self._events = _libc.inotify_init1(os.O_NONBLOCK)
        for place in PLACES:
            self._watch(prefix / place.parent, -1)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _watch(self, folder: Path, depth: int) -> None:
        watch = _libc.inotify_add_watch(self._events, os.fsencode(folder), CLOSE_WRITE | CREATE | MOVED_TO)
        if watch < 0:
            return
        self._folders[watch] = folder, depth
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(folder)):  # what was made before there was a watch
                if entry.is_dir(follow_symlinks=False):
                    self._new_folder(Path(entry.path), depth)
                elif depth >= 0 and entry.name.endswith(NEW):
                    self._hold(Path(entry.path), self.file_seconds)

    def _new_folder(self, path: Path, depth: int) -> None:
        if depth < 0 and path.relative_to(self.prefix) not in PLACES:
            return
        if path.relative_to(self.prefix) == PLACES[0]:
            self._seen.clear()
        if path.name.endswith(NEW):
            self._hold(path, self.folder_seconds)
        elif depth < DEEPEST and not path.name.startswith(("env-", "python-")):
            self._watch(path, depth + 1)

    def _hold(self, path: Path, seconds: float) -> None:
        if path in self._seen:
            return
        self._seen.add(path)
        with contextlib.suppress(OSError):  # it is gone already
            hold(path)
            self._until[path] = time.monotonic() + seconds
            self.held.append(path)

    def _run(self) -> None:
        while not self._closed.is_set():
            ready, _, _ = select.select([self._events], [], [], 0.1)
            if ready:
                self._read(os.read(self._events, 65536))
            for path, until in list(self._until.items()):
                if time.monotonic() >= until:
                    self._release(path)

    def _read(self, data: bytes) -> None:
        place = 0
        while place < len(data):
            watch, mask, _, length = EVENT.unpack_from(data, place)
            name = data[place + EVENT.size : place + EVENT.size + length].rstrip(b"\0")
            place += EVENT.size + length
            if watch not in self._folders or not name:
                continue
            folder, depth = self._folders[watch]
            path = folder / os.fsdecode(name)
            if mask & IS_DIR:
                self._new_folder(path, depth)
            elif mask & CLOSE_WRITE and depth >= 0 and path.name.endswith(NEW):
                self._hold(path, self.file_seconds)

    def _release(self, path: Path) -> None:
        quiet_since = max((Path(folder).stat().st_mtime for folder, _, _ in os.walk(path)), default=0.0)
        if path.is_dir() and time.time() - quiet_since < self.folder_seconds:
            self._until[path] = time.monotonic() + 0.5
            return
        self._until.pop(path, None)
        release(path)

    def let_go(self) -> None:
        """Releases what is held now."""
        for path in list(self._until):
            self._until.pop(path, None)
            release(path)

    def close(self) -> None:
        """Ends it; nothing is held afterwards."""
        if not self._thread:
            return
        self._closed.set()
        self._thread.join()
        self.let_go()
        os.close(self._events)
