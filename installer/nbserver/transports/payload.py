"""The data that a run sends after its envelope: read when it is sent, block by block, so that its size costs no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

BLOCK = 1_048_576  # bytes


@dataclass(frozen=True)
class Payload:
    """`size` bytes. Each call of `blocks` yields them again from the beginning, in blocks of at most `BLOCK` bytes.

    `blocks` may raise HostError, for example because a file was changed. If the data `is_streamed`, a Linux script reads it while
    it arrives, and keeps what it got if the connection is lost; otherwise, the script begins once all of it is on the host.
    """

    size: int
    blocks: Callable[[], Iterator[bytes]]
    is_streamed: bool = False

    @classmethod
    def of(cls, data: bytes) -> Payload:
        """Return data that is in memory."""
        return cls(len(data), lambda: (data[start : start + BLOCK] for start in range(0, len(data), BLOCK)))


NOTHING = Payload(0, lambda: iter(()))


def pieces(blocks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Yield the bytes of all blocks in pieces of exactly `length` bytes; the last may be shorter."""
    kept = bytearray()
    for block in blocks:
        kept += block
        while len(kept) >= length:
            yield bytes(kept[:length])
            del kept[:length]
    if kept:
        yield bytes(kept)
