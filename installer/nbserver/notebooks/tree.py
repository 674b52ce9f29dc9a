"""The files below a folder of the workstation: found, hashed, and read without following a link."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nbserver.base import plain_file
from nbserver.base.errors import UsageError
from nbserver.base.plain_text import clean

MOST_FILES = 10_000
MOST_BYTES = 1_000_000_000
_BLOCK = 1 << 20


@dataclass(frozen=True)
class File:
    """A file: its size and SHA-256. The hash is empty if it is not known."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Found:
    """What is below a folder: the files by path, and the links and other things that are not copied."""

    files: dict[str, File]
    left_out: tuple[str, ...] = ()


def require_folder(folder: Path) -> None:
    """Raise UsageError if the folder does not exist, or is a link."""
    if os.path.islink(folder) or not os.path.isdir(folder):  # noqa: PTH112, PTH114 (Path's methods raise for a name that is too long)
        raise UsageError(
            "notebooks-no-folder", "the folder {folder} does not exist, or is a link", todo="Specify an existing folder", folder=folder
        )


def find(folder: Path) -> Found:
    """Return the files below a folder. Names that begin with a period are left out, and links are not followed.

    Raises UsageError for a folder that exceeds the limits, before any file is read, and for a file that cannot be read.
    """
    sizes, left_out = _sizes(folder)
    return Found({path: File(*_hashed(folder, path)) for path in sizes}, tuple(left_out))


def _sizes(folder: Path) -> tuple[dict[str, int], list[str]]:
    sizes: dict[str, int] = {}
    left_out: list[str] = []
    pending, total = [""], 0
    while pending:
        below = pending.pop()
        for entry in _entries(folder, below):
            path = f"{below}{entry.name}"
            if entry.name.startswith("."):
                continue
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError as error:  # it was removed meanwhile
                raise _unreadable(folder, path, error) from None
            if plain_file.is_link(about):
                left_out.append(path)
            elif stat.S_ISDIR(about.st_mode):
                pending.append(f"{path}/")
            elif stat.S_ISREG(about.st_mode):
                sizes[path] = about.st_size
                total += about.st_size
                require_within_limits(str(folder), len(sizes), total)
            else:
                left_out.append(path)
    return dict(sorted(sizes.items())), sorted(left_out)


def require_within_limits(where: str, files: int, size: int) -> None:
    """Raise UsageError for more files or bytes than a command copies."""
    if files > MOST_FILES or size > MOST_BYTES:
        raise UsageError(
            "notebooks-too-large",
            "the folder exceeds what nbserver can copy: at most {files} files and {size} MB",
            where=where,
            todo="Select a folder with fewer or smaller files, or copy large files with another program",
            files=f"{MOST_FILES:,}",
            size=f"{MOST_BYTES // 1_000_000:,}",
        )


def _entries(folder: Path, below: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder / below) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(folder, below, error) from None


def _hashed(folder: Path, path: str) -> tuple[int, str]:
    sha256, size = hashlib.sha256(), 0
    try:
        with _opened(folder, path) as file:
            while block := file.read(_BLOCK):
                sha256.update(block)
                size += len(block)
    except OSError as error:
        raise _unreadable(folder, path, error) from None
    return size, sha256.hexdigest()


def _opened(folder: Path, path: str) -> BinaryIO:
    file = plain_file.opened(folder / path)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("not a file")
    return file


def _unreadable(folder: Path, path: str, error: OSError) -> UsageError:
    return UsageError(
        "notebook-unreadable",
        "could not read the file or folder ({reason})",
        where=clean(str(folder / path), 500),
        todo="Make the file or folder readable, or move it out of this folder",
        reason=error.strerror or str(error),
    )


def read(folder: Path, path: str, offset: int, length: int) -> bytes:
    """Return a part of a file, which may be shorter than before. Raises UsageError."""
    try:
        with _opened(folder, path) as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise _unreadable(folder, path, error) from None
