"""What the scheduler and its dashboard see of a host's run: names and public keys, no secret, and no script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbserver import __version__
from nbserver.run.cluster.channel import about
from nbserver.run.release import fingerprint


@dataclass(frozen=True)
class Ticket:
    """The only argument of a task. `call` is unique, `topic` is where the worker answers, and `key` the workstation's public key."""

    run: str
    host: str
    call: str
    topic: str
    key: bytes
    release: str


@dataclass(frozen=True)
class Request:
    """A worker asks for what a ticket stands for. `key` is its public key for this channel, `worker` its address."""

    call: str
    session: str
    worker: str
    release: str
    key: bytes
    certificate: bytes
    signature: bytes = b""

    def signed_part(self, ticket: Ticket) -> bytes:
        """Return what the worker signs: who asks, for what, and both keys of the channel."""
        names = (ticket.run, ticket.host, ticket.call, ticket.topic, self.session, self.worker, self.release)
        return about(*(name.encode() for name in names), ticket.key, self.key, self.certificate)

    def as_message(self) -> dict[str, Any]:
        """Return the request for a topic."""
        return {"kind": "request", **vars(self)}

    @classmethod
    def of(cls, sent: Mapping[str, Any]) -> Request:
        """Return the request in a message. Raises ValueError for anything else."""
        try:
            found = cls(**{name: sent[name] for name in cls.__dataclass_fields__})
        except KeyError:
            raise ValueError("not a request") from None
        kinds = {name: str(field.type) for name, field in cls.__dataclass_fields__.items()}
        if any(type(value).__name__ != kinds[name] for name, value in vars(found).items()):
            raise ValueError("not a request")
        return found


def release() -> str:
    """Return which nbserver this is: its version, and the beginning of the hash of its files."""
    return f"{__version__} ({str(fingerprint()['files_sha256'])[:12]})"
