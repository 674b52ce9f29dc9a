"""A file to which a run appends text, with the hash of what nbserver wrote: the chain vouches for that, not for what is on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Self

from nbserver.base import append_file, plain_file
from nbserver.base.errors import ApprovalError
from nbserver.base.existing import exists
from nbserver.base.message import message
from nbserver.run import past_files
from nbserver.run.chain import Chain, Written

LIMIT = 256_000_000  # bytes
_ADVICE = message("audit-run", "Find out who changed the run directory. To see all changes, run nbserver audit --run RUN")


class GrowingFile:
    """An open file. Raises OSError if it cannot be created."""

    def __init__(self, path: Path, known: bytes | None = b"") -> None:
        """Open or create the file. `known` is its content so far, or None if nothing vouches for that."""
        self._path, self._hash, self._size = path, None if known is None else hashlib.sha256(known), len(known or b"")
        self._file = append_file.opened(path)

    @classmethod
    def continued(cls, path: Path, chain: Chain) -> Self:
        """Open a file of an earlier run. If it exists but has no line in the chain, what is added is in no line either.

        Such a file loses a last line that was not written to its end. Raises ApprovalError if the file is not as the last line of
        the chain about it says.
        """
        link = chain.last(path) if chain.exists() else None
        if link is None:
            if not exists(path):
                return cls(path)
            past_files.whole_lines(path, past_files.read(path))
            return cls(path, None)
        known = plain_file.read(path, LIMIT, advice=_ADVICE) if exists(path) else b""
        if Written.of(path, known) != Written(path, link.size, link.sha256):
            raise ApprovalError(
                "run-file-changed",
                "the file does not match its hash on line {number} of chain.jsonl: it was changed after the run",
                where=plain_file.shown(path),
                todo="{advice}",
                advice=_ADVICE,
                number=link.n,
            )
        return cls(path, known)

    def write(self, text: str) -> None:
        """Append text. Raises OSError."""
        data = text.encode("utf-8")
        self._file.write(data)
        self._file.flush()
        self._size += len(data)
        if self._hash:
            self._hash.update(data)

    def close(self) -> None:
        """Close the file. Raises OSError."""
        self._file.close()

    def written(self) -> Written | None:
        """Return the file as nbserver wrote it, or None if that is not known."""
        return Written(self._path, self._size, self._hash.hexdigest()) if self._hash else None
