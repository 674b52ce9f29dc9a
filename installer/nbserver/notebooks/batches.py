"""Cut files into parts, and parts into batches that one run can carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nbserver.notebooks.part import Part
from nbserver.notebooks.tree import File

LARGEST = 8_000_000  # bytes in a batch
MOST_PARTS = 1000  # in a batch: their paths are part of the envelope


def batches(copied: Mapping[str, str], files: Mapping[str, File]) -> Iterator[tuple[Part, ...]]:
    """Yield batches of parts, file after file. `copied` maps each path to what it replaces."""
    batch: list[Part] = []
    room = LARGEST
    for path, before in copied.items():
        size, sha256 = files[path].size, files[path].sha256
        offset = 0
        while True:
            length = min(size - offset, room)
            if length or not size:
                batch.append(Part(path, size, sha256, offset, length, before))
                offset, room = offset + length, room - length
            if not room or len(batch) == MOST_PARTS:
                yield tuple(batch)
                batch, room = [], LARGEST
            if offset == size:
                break
    if batch:
        yield tuple(batch)
