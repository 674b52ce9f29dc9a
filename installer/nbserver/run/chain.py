"""chain.jsonl of a run directory: each line has the hash of a file and of the line before it, so `sha256sum` can check it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from nbserver.base import append_file, file_lock, strict_json
from nbserver.base.existing import exists

VERSION = 1
FILE = "chain.jsonl"
BEGINNING = "0" * 64  # `previous` of the first line
LOCK_SECONDS = 60.0
LONGEST_LINE = 2000  # bytes


@dataclass(frozen=True)
class Link:
    """One line: when `file` was added, with its size in bytes and its hash. `previous` is the hash of the line before."""

    n: int
    time: str
    file: str
    size: int
    sha256: str
    previous: str

    def line(self) -> bytes:
        """Return the line as it is in the file, with its line feed."""
        return (json.dumps({"v": VERSION, **asdict(self)}) + "\n").encode("ascii")


@dataclass(frozen=True)
class Head:
    """The last line of a chain: its number and its hash. A chain without lines has number 0."""

    n: int = 0
    sha256: str = BEGINNING


@dataclass(frozen=True)
class Written:
    """A file as nbserver wrote it, with its size in bytes. The chain vouches for this, whatever is in its place by now."""

    path: Path
    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path, data: bytes) -> Self:
        """Return a file that was written with this content."""
        return cls(path, len(data), sha256(data))


class Chain:
    """The chain of a run directory. Several threads and processes may add to it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._last: dict[str, Link] = {}  # by file, from the lines up to `_seen`, in bytes
        self._seen = 0

    def exists(self) -> bool:
        """Return whether the run has a chain: runs of releases before 0.5.0 have none."""
        return exists(self._folder / FILE)

    def head(self) -> Head:
        """Return the last line's number and hash. Raises OSError if it was not written to its end."""
        line = self.last_line()
        try:
            return Head(parse(line).n, sha256(line)) if line else Head()
        except ValueError:
            raise OSError(errno.EINVAL, f"the last line of {FILE} is damaged") from None

    def last_line(self) -> bytes:
        """Return the last line with its line feed, or nothing if there is none. Raises OSError."""
        try:
            with (self._folder / FILE).open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - LONGEST_LINE))
                data = file.read()
        except FileNotFoundError:
            return b""
        return data[data.rfind(b"\n", 0, -1) + 1 :]

    def complete(self) -> bool:
        """Remove a last line that was not written to its end, such as in a copy of the directory, and return whether there was one.

        Raises OSError if another line is damaged.
        """
        with self._lock, file_lock.locked(self._folder / FILE, LOCK_SECONDS):
            append_file.opened(self._folder / FILE).close()  # a copy may lack it
            data = (self._folder / FILE).read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if whole != data:
                os.truncate(self._folder / FILE, len(whole))
        self.head()
        return whole != data

    def last(self, path: Path) -> Link | None:
        """Return the last line about a file, or None. Raises OSError if the chain cannot be read or is damaged.

        Only lines that were added since the last call are read: a run asks once for each file.
        """
        with self._lock:
            self._look_on()
            return self._last.get(path.relative_to(self._folder).as_posix())

    def _look_on(self) -> None:
        with (self._folder / FILE).open("rb") as file:
            file.seek(self._seen)
            data = file.read()
        try:
            links = [parse(line) for line in data.splitlines(keepends=True)]
        except ValueError:
            raise OSError(errno.EINVAL, f"{FILE} is damaged") from None
        self._last.update({link.file: link for link in links})
        self._seen += len(data)

    def add(self, time: str, *files: Written) -> Head:
        """Add the files as they were written, and return the new head. Raises OSError."""
        with self._lock, file_lock.locked(self._folder / FILE, LOCK_SECONDS):
            head, lines = self.head(), []
            for file in files:
                link = Link(head.n + 1, time, file.path.relative_to(self._folder).as_posix(), file.size, file.sha256, head.sha256)
                lines.append(link.line())
                head = Head(link.n, sha256(link.line()))
            with append_file.opened(self._folder / FILE) as opened:
                opened.write(b"".join(lines))
        return head


def parse(line: bytes) -> Link:
    """Return a line of the chain. Raises ValueError for anything that `Link.line` does not write."""
    value = strict_json.parse(line)
    fields = Link.__dataclass_fields__
    if not isinstance(value, dict) or list(value) != ["v", *fields]:
        raise ValueError("not a line of a chain")
    if any(type(value[name]).__name__ != field.type for name, field in fields.items()):
        raise ValueError("a field is not of its type")
    link = Link(*(value[name] for name in fields))
    if link.line() != line:
        raise ValueError("not written as nbserver writes it")
    return link


def sha256(data: bytes) -> str:
    """Return the hash of a line or a file."""
    return hashlib.sha256(data).hexdigest()
