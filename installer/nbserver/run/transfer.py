"""What one run of a script copies: data for the host, which is read from the disk when it is sent, or files from the host."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbserver.base.errors import ScriptError, UsageError
from nbserver.events.reader import Event, EventError, parse
from nbserver.notebooks import received, tree
from nbserver.notebooks.part import Part
from nbserver.transports.payload import NOTHING, Payload
from nbserver.transports.transport import Transport


@dataclass(frozen=True)
class HostFile:
    """What a host, or the workstation as the receiver, says about a file. `state` is that of an event `file`."""

    path: str
    size: int
    sha256: str
    state: str


def file_of(event: Event) -> HostFile:
    """Return the file of an event `file`."""
    return HostFile(event.data["path"], event.data["size"], event.data["sha256"], event.data["state"])


@dataclass(frozen=True)
class Transfer:
    """The parts that one run copies from `folder` to the host (`sends`), or from the host to `folder`."""

    folder: Path
    parts: tuple[Part, ...]
    sends: bool

    def watch(self, transport: Transport, host: str, ended: list[HostFile]) -> Transport:
        """Return the transport, which now carries the data. The files that were received are added to `ended`.

        The data is removed from events: neither the run directory nor a view contains what people wrote.
        """
        run = transport.run
        receiver = _Receiver(self, host, ended)

        def carried(script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
            is_first = envelope[:1] in (["mode push"], ["mode pull"])  # not the mode that fetches lost events
            for line in run(script, envelope, Payload.of(self._data(host))) if is_first and self.sends else run(script, envelope):
                yield receiver.without_data(line) if '"event":"content"' in line else line

        transport.run = carried  # type: ignore[method-assign]
        return transport

    def _data(self, host: str) -> bytes:
        """Return the data of all parts. Raises ScriptError if a file is shorter than before; one that was changed has another hash."""
        pieces = []
        for part in self.parts:
            try:
                piece = tree.read(self.folder, part.path, part.offset, part.length)
            except UsageError as error:
                raise ScriptError.of(error, host=host) from None
            if len(piece) < part.length:
                raise ScriptError(
                    "notebook-became-shorter",
                    "{path} was changed while it was being copied",
                    host=host,
                    todo="Run the command again",
                    path=part.path,
                )
            pieces.append(piece)
        return b"".join(pieces)


@dataclass(frozen=True)
class Collecting:
    """Files whose names are known, and whose sizes and hashes are not. They are written into `folder`."""

    folder: Path
    names: frozenset[str]
    parts: tuple[Part, ...] = ()

    def watch(self, transport: Transport, host: str, ended: list[HostFile]) -> Transport:
        """Return the transport, whose events have no data from now on. The files that were received are added to `ended`."""
        run = transport.run
        receiver = _Collector(self, host, ended)

        def carried(script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
            for line in run(script, envelope):
                yield receiver.without_data(line) if '"event":"content"' in line else line

        transport.run = carried  # type: ignore[method-assign]
        return transport


class Stripping:
    """Takes the data out of events."""

    def __init__(self, host: str, ended: list[HostFile]) -> None:
        self._host, self._ended = host, ended

    def without_data(self, line: str) -> str:
        """Write the data of an event, and return its line without the data. Raises ScriptError if it cannot be written."""
        try:
            event = parse(line)
        except EventError:
            return line  # it is reported where all events are read
        if event.event != "content":
            return line
        path, offset = event.data["path"], event.data["offset"]
        try:
            self.take(path, offset, _decoded(event.data["data"]))
        except received.Refused as refused:
            self.end(path, refused.state)
        except (FileNotFoundError, FileExistsError):  # both commands write the same file until it is complete
            raise ScriptError(
                "notebook-written-by-two",
                "the incomplete file for {path} was removed or replaced while it was being copied",
                host=self._host,
                todo="Make sure that no other nbserver command copies into the same folder, then run the command again",
                path=path,
            ) from None
        except OSError as error:
            raise ScriptError(
                "notebook-not-written",
                "could not write {path} ({reason})",
                host=self._host,
                todo="Make the folder writable, and make sure that its disk has free space",
                path=path,
                reason=error.strerror or str(error),
            ) from None
        return json.dumps({**event.as_json(), "data": ""}, separators=(",", ":"))

    def take(self, path: str, offset: int, piece: bytes) -> None:
        """Write a piece of a file. Raises Refused and OSError."""
        raise NotImplementedError

    def end(self, path: str, state: str) -> None:
        """Record that a file has ended."""
        raise NotImplementedError


def _decoded(data: Any) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        return b""


class _Receiver(Stripping):
    """Writes what a host sends: only the requested parts, each from its beginning to its end."""

    def __init__(self, transfer: Transfer, host: str, ended: list[HostFile]) -> None:
        super().__init__(host, ended)
        self._folder = transfer.folder
        self._parts = {part.path: part for part in transfer.parts} if not transfer.sends else {}
        self._have = {path: part.offset for path, part in self._parts.items()}

    def take(self, path: str, offset: int, piece: bytes) -> None:
        part = self._parts.get(path)
        if part is None:
            return
        end = part.offset + part.length
        if offset != self._have[path] or offset + len(piece) > end or (not piece and offset < end):
            return self.end(path, "damaged")
        if offset == 0:
            received.begin(self._folder, part)
        received.append(self._folder, part, offset, piece)
        self._have[path] += len(piece)
        if self._have[path] == end and part.is_last:
            received.complete(self._folder, part)
            self.end(path, "stored")
        return None

    def end(self, path: str, state: str) -> None:
        part = self._parts.pop(path)
        self._ended.append(HostFile(path, part.size, part.sha256, state))


class _Collector(Stripping):
    """Writes files with known names, each from its beginning. What else a host sends is discarded."""

    def __init__(self, collecting: Collecting, host: str, ended: list[HostFile]) -> None:
        super().__init__(host, ended)
        self._folder, self._names = collecting.folder, collecting.names
        self._have: dict[str, int] = {}

    def take(self, path: str, offset: int, piece: bytes) -> None:
        if path not in self._names or offset != self._have.get(path, 0):
            return
        place = received.place_of(self._folder, path)
        with place.open("wb" if offset == 0 else "ab") as file:
            file.write(piece)
        self._have[path] = offset + len(piece)

    def end(self, path: str, state: str) -> None:
        self._names -= {path}
