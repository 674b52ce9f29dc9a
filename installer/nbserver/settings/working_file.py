"""Read a file of the operator, such as the inventory or a site catalog: a plain file of limited size that others may not write."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from nbserver.base.errors import NbserverError
from nbserver.settings import write_access

LIMIT = 50_000_000  # bytes; an inventory of 1000 hosts has less than 1 MB
# Without O_NONBLOCK, a FIFO would block until it has a writer. Flags that the system does not have are 0.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True)
class WorkingFile:
    """A file and the error to raise if it is not a plain file, is too large, or if others may write to it. Links are followed."""

    path: Path
    error: type[NbserverError]

    def read_bytes(self) -> bytes:
        """Return the contents. Raises `error`, and OSError if the file cannot be read."""
        try:
            opened = os.open(self.path, _FLAGS)
        except ValueError:  # a null character
            raise OSError(errno.EINVAL, "the path contains a character that is not allowed in paths") from None
        with open(opened, "rb") as file:  # noqa: PTH123 (the flags are what this is about)
            found = os.fstat(file.fileno())
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(found.st_mode):
                raise self.error("working-file-not-regular", "must be a regular file", where=str(self.path))
            data = file.read(LIMIT + 1)
        if len(data) > LIMIT:
            raise self.error("working-file-too-large", "the file is larger than {limit} bytes", where=str(self.path), limit=LIMIT)
        self.require_unwritable()
        return data

    def require_unwritable(self) -> None:
        """Raise `error` if others may write to the file, or if its permissions cannot be read."""
        try:
            who = write_access.others_of_working_file(self.path)
        except OSError as reason:
            raise self.error(
                "working-file-permissions",
                "could not read the permissions of this file and its folder ({reason})",
                where=str(self.path),
                reason=reason.strerror or type(reason).__name__,
            ) from None
        if who:
            raise self.error(
                "working-file-writable",
                "{who} can write to this file or its folder",
                where=str(self.path),
                todo="Remove this write access, so that nobody else decides what runs on your hosts",
                who=who,
            )
