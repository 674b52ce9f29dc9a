"""What every transport does: connect, run one script, yield what it says, stop it and close. It knows no steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Transport(Protocol):
    """One connection to one host, used by one thread.

    `deadline`, in seconds of time.monotonic, is when a run must have ended; it may be set while a script runs.
    """

    deadline: float

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        """Runs the script and yields its output, line by line, as it comes.

        Raises ConnectError (the connection was lost; the script may go on), ScriptError (it could not run), StreamError (the
        host says too much, see answer_limits, or is still there after the deadline) and StopRequested (it was stopped, on
        request, and has ended).
        """
        ...

    def close(self) -> None:
        """Ends the connection. Never raises."""
        ...


@dataclass(frozen=True)
class LogonSecrets:
    """What a transport needs to log on, as the host's settings of the same names refer to it. Its repr shows none of it."""

    password: str | None = field(default=None, repr=False)
    key_password: str | None = field(default=None, repr=False)
    sudo_password: str | None = field(default=None, repr=False)


class StopRequested(Exception):
    """The script was stopped because the operator asked for it."""
