"""The interface of every transport: connect, run a script, yield its output, stop it, and close. It is independent of the steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nbserver.transports.payload import NOTHING, Payload


class Transport(Protocol):
    """One connection to one host, used by one thread.

    `deadline`, in seconds of time.monotonic, is when a run must have finished. It may be set while a script runs.
    """

    deadline: float

    def run(self, script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
        """Run the script and yield its output, line by line, as it arrives. `data` follows the envelope.

        Raises ConnectError (the connection was lost; the script may still be running), ScriptError (the script could not run),
        StreamError (the host sent too much, see answer_limits, or the deadline passed), and StopRequested (the script was
        stopped on request and has ended).
        """
        ...

    def close(self) -> None:
        """Close the connection. Never raises."""
        ...


@dataclass(frozen=True)
class LogonSecrets:
    """The secrets that a transport needs to log on, named like the host's settings. The repr does not show them.

    `hops` are those of the jump hosts, in their order.
    """

    password: str | None = field(default=None, repr=False)
    key_password: str | None = field(default=None, repr=False)
    sudo_password: str | None = field(default=None, repr=False)
    hops: tuple[LogonSecrets, ...] = ()

    @property
    def values(self) -> tuple[str | None, ...]:
        """All of them, also those of the jump hosts, to mask them."""
        return (self.password, self.key_password, self.sudo_password, *(value for hop in self.hops for value in hop.values))


class StopRequested(Exception):
    """The script was stopped at the operator's request."""
