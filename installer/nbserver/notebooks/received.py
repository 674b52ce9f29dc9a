"""Files that a host sends: written next to the one that they replace, which they do once they are complete and have the right hash."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from nbserver.base import atomic_file, plain_file
from nbserver.notebooks.part import ABSENT, Part

PREFIX = ".nbserver-pull-"
ON_WINDOWS = sys.platform == "win32"
IGNORES_CASE = sys.platform in ("win32", "darwin")


class Refused(Exception):
    """A file was not replaced: it is not as it was, or its folder is a link. `state` is that of an event `file`."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


def place_of(folder: Path, path: str) -> Path:
    """Return where a file will be, and create its folders. Raises Refused if a link or a file is where a folder should be, and OSError."""
    current = folder
    for name in path.split("/")[:-1]:
        current = current / name
        with suppress(FileExistsError):
            current.mkdir()
        about = current.lstat()
        if not stat.S_ISDIR(about.st_mode) or plain_file.is_link(about):
            raise Refused("conflict")
    return folder / path


def temporary_of(place: Path, part: Part) -> Path:
    """Return the file that is not complete."""
    return place.parent / f"{PREFIX}{part.sha256[:32]}"


def begin(folder: Path, part: Part) -> None:
    """Create the file that is not complete. Raises Refused and OSError."""
    place = place_of(folder, part.path)
    temporary = temporary_of(place, part)
    temporary.unlink(missing_ok=True)
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


def append(folder: Path, part: Part, offset: int, data: bytes) -> None:
    """Write data at its offset. Raises Refused and OSError."""
    temporary = temporary_of(place_of(folder, part.path), part)
    with os.fdopen(os.open(temporary, os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)), "r+b") as file:
        file.seek(offset)
        file.truncate()
        file.write(data)


def complete(folder: Path, part: Part) -> None:
    """Check the file and put it into its place. Raises Refused and OSError, and then nothing is replaced."""
    place = place_of(folder, part.path)
    temporary = temporary_of(place, part)
    try:
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        if sha256_of(temporary) != part.sha256:
            raise Refused("damaged")
        if sha256_of(place) != part.before:
            raise Refused("conflict")
        with _like(place, temporary) if part.before != ABSENT else nullcontext():
            atomic_file.put_into_place(temporary, place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _like(place: Path, temporary: Path) -> Iterator[None]:
    """Give a file the mode of the one that it replaces in the block: who may read it is for its owner to decide.

    Windows replaces and removes no file that is read-only. So both are writable in the block.
    """
    mode = stat.S_IMODE(place.lstat().st_mode)
    if not ON_WINDOWS or mode & stat.S_IWRITE:
        temporary.chmod(mode)
        yield
        return
    place.chmod(mode | stat.S_IWRITE)
    try:
        yield
    finally:
        place.chmod(mode)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, ABSENT if there is none, or an empty text for what is not a file."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return ABSENT
    if not stat.S_ISREG(about.st_mode):
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_unfinished(folder: Path) -> None:
    """Remove what interrupted runs left in the folder of this host."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.startswith(PREFIX):
                Path(parent, name).unlink(missing_ok=True)
