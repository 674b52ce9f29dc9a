"""Files of a bundle on their way to a host: the parts of one run, which are read from the disk while they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nbserver.base import plain_file
from nbserver.base.errors import ScriptError
from nbserver.bundle.contents import File
from nbserver.notebooks.part import Part
from nbserver.run.transfer import HostFile
from nbserver.transports.payload import BLOCK, NOTHING, Payload
from nbserver.transports.transport import Transport

MOST_PARTS = 1000  # of a batch, each with a line in the envelope

Sent = Callable[[str, int], object]
"""Is called with the name of a host and the number of bytes that were read for it."""


def offer(files: Iterable[File]) -> tuple[Part, ...]:
    """Return the parts with which mode missing asks what the host has of these files."""
    return tuple(Part(one.file, one.size or 0, one.sha256, 0, 0) for one in files)


def waiting(files: Iterable[File], answers: Iterable[HostFile]) -> list[tuple[File, int]]:
    """Return the files that the host needs, each with the number of bytes that the host already has of it.

    A file about which the host said nothing is not sent.
    """
    found = {answer.path: answer for answer in answers}
    needed = [(one, found[one.file]) for one in files if one.file in found and found[one.file].state in ("absent", "partial")]
    return [(one, min(answer.size, one.size or 0)) for one, answer in needed]


def batches(pending: Iterable[tuple[File, int]], largest: int) -> Iterator[tuple[Part, ...]]:
    """Yield batches of parts, file after file, each of at most `largest` bytes. The numbers say where each file begins."""
    batch: list[Part] = []
    room = largest
    for file, begin in pending:
        size, offset = file.size or 0, begin
        while offset < size or offset == begin:  # a file that is complete, but was not checked, has a part without bytes
            length = min(size - offset, room)
            batch.append(Part(file.file, size, file.sha256, offset, length))
            offset, room = offset + length, room - length
            if not room or len(batch) == MOST_PARTS:
                yield tuple(batch)
                batch, room = [], largest
            if offset == size:
                break
    if batch:
        yield tuple(batch)


def _nobody(host: str, count: int) -> None:
    pass


@dataclass(frozen=True)
class Delivery:
    """The parts of one run of mode deliver, or those about which mode missing asks. `paths` has the path of each file by its name."""

    paths: Mapping[str, Path]
    parts: tuple[Part, ...]
    sent: Sent = field(default=_nobody, repr=False, compare=False)

    def watch(self, transport: Transport, host: str, ended: list[HostFile]) -> Transport:
        """Return the transport, which now carries the data."""
        run = transport.run

        def carried(script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
            is_first = envelope[:1] == ["mode deliver"]  # not the mode that fetches lost events
            yield from run(script, envelope, self.payload(host)) if is_first else run(script, envelope)

        transport.run = carried  # type: ignore[method-assign]
        return transport

    def payload(self, host: str) -> Payload:
        """Return the data of all parts. Reading it raises ScriptError if a file became shorter; one that was changed has another hash."""
        return Payload(sum(part.length for part in self.parts), lambda: self._blocks(host), is_streamed=True)

    def _blocks(self, host: str) -> Iterator[bytes]:
        for part in self.parts:
            left = part.length
            try:
                with plain_file.opened(self.paths[part.path]) as file:
                    file.seek(part.offset)
                    while left and (block := file.read(min(BLOCK, left))):
                        left -= len(block)
                        self.sent(host, len(block))
                        yield block
            except OSError as error:
                raise _unreadable(host, part.path, error.strerror or str(error)) from None
            if left:
                raise _unreadable(host, part.path, "it became shorter")


def _unreadable(host: str, name: str, reason: str) -> ScriptError:
    return ScriptError(
        "delivery-unreadable",
        "could not read {path} from the bundle ({reason})",
        host=host,
        todo="Download or copy the bundle again, then run the command again",
        path=name,
        reason=reason,
    )
