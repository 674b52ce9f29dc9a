"""What the run of one host leaves: what was sent, its events, and notes about problems on the workstation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nbserver.events.reader import Event
from nbserver.run.chain import BEGINNING, Head
from nbserver.run.evidence import now


class Record(Protocol):
    """Receives what happens, in order: the journal of a host, or a list for it."""

    def sent(self, envelope: Sequence[str] = ()) -> Head: ...
    def event(self, event: Event) -> None: ...
    def note(self, text: str, time: str = "") -> None: ...


@dataclass(frozen=True)
class _Sent:
    envelope: tuple[str, ...]


@dataclass(frozen=True)
class _Note:
    text: str
    time: str


@dataclass
class Collected:
    """Keeps what happens for the journal of another process. `evidence` is the head of the chain as it was before."""

    evidence: str = BEGINNING
    entries: list[_Sent | _Note | Event] = field(default_factory=list)

    def sent(self, envelope: Sequence[str] = ()) -> Head:
        """Record that the script is sent with this envelope. The host's own log gets the head before that, because nothing is written here."""
        self.entries.append(_Sent(tuple(envelope)))
        return Head(0, self.evidence)

    def event(self, event: Event) -> None:
        """Keep an event."""
        self.entries.append(event)

    def note(self, text: str, time: str = "") -> None:
        """Keep a note, with the time when it was made."""
        self.entries.append(_Note(text, time or now()))

    def write_to(self, record: Record) -> None:
        """Write everything to the journal of the host. Raises JournalError."""
        for entry in self.entries:
            if isinstance(entry, _Sent):
                record.sent(entry.envelope)
            elif isinstance(entry, _Note):
                record.note(entry.text, entry.time)
            else:
                record.event(entry)
