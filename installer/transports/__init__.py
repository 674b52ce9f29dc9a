"""Ways to a host. A transport connects, runs one script, yields what it says, stops it and closes. It knows no steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol


class Transport(Protocol):
    """One connection to one host, used by one thread."""

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        """Runs the script and yields its output, line by line, as it comes.

        Raises ConnectError (the connection was lost; the script may go on), ScriptError (it could not run) and
        StopRequested (it was stopped, on request, and has ended).
        """
        ...

    def close(self) -> None:
        """Ends the connection. Never raises."""
        ...


class StopRequested(Exception):
    """The script was stopped because the operator asked for it."""
